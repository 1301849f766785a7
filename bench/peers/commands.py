#!/usr/bin/python3
"""Measure how many commands that do nothing a tool runs in a second, two at once.

    commands.py xargs|parallel|snakemake [N]

Prints a line of JSON; exits with 3 if the tool is not installed.
"""
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time

SNAKEFILE = """
rule all:
    input: expand("o/{i}", i=range(int(config["n"])))
rule one:
    output: "o/{i}"
    shell: ": > {output}"
"""

# tool: the command, and how many tasks take a second or so
TOOLS = {
    "xargs": (["xargs", "-a", "in", "-P2", "-n1", "bash", "-c", ":"], 1000),
    "parallel": (["parallel", "-j2", "-a", "in", "bash -c : #"], 300),
    "snakemake": (["snakemake", "-q", "-j2", "--nolock", "--config", "n={n}"], 50),
}


def main():
    tool = sys.argv[1]
    if shutil.which(tool) is None:
        sys.exit(3)
    argv, n = TOOLS[tool]
    n = int(sys.argv[2]) if len(sys.argv) > 2 else n
    with tempfile.TemporaryDirectory(prefix="bench-") as home:
        os.chdir(home)
        os.environ["HOME"] = home
        os.mkdir(".parallel")
        open(".parallel/will-cite", "w").close()
        with open("Snakefile", "w") as f:
            f.write(SNAKEFILE)
        with open("in", "w") as f:
            f.writelines(f"{i}\n" for i in range(n))
        begin = time.perf_counter()
        subprocess.run([a.format(n=n) for a in argv], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        spent = time.perf_counter() - begin
        os.chdir("/")
    print(json.dumps({"who": tool, "metric": "command_rate", "value": n / spent, "unit": "1/s", "n": n}))


if __name__ == "__main__":
    main()
