"""tutti.mpi: message passing between Python processes, in the manner of mpi4py."""
