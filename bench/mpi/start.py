#!/usr/bin/env python3
"""How long a Python program takes to begin and end: bare, or with our module imported, the world joined and left.

    start.py REPS PYTHON

Prints lines as python.py does. The two run in turn; the difference of their medians is what the module costs.
"""

import statistics
import subprocess
import sys
import time

reps, python = int(sys.argv[1]), sys.argv[2]
programs = {
    "py_start_bare": "pass",
    "py_start_mpi": "import sys, mpi; mpi.mpi_init(len(sys.argv), sys.argv); mpi.mpi_comm_rank(1); mpi.mpi_finalize()",
    "py_start_tutti_mpi": "from tutti import mpi; mpi.COMM_WORLD.rank",
}
times = {name: [] for name in programs}
for rep in range(-1, reps):
    for name, code in programs.items():
        began = time.perf_counter()
        subprocess.run([python, "-c", code], check=True)
        if rep >= 0:
            times[name].append(time.perf_counter() - began)
for name, t in times.items():
    print(name, 1, 0, *("%.4f" % x for x in (statistics.median(t), min(t), max(t))), "s", sep="\t")
