"""tutti: interactive parallel computing for scientists.

`tutti.mpi` is message passing between the ranks of a program, in the manner of mpi4py.
"""
