"""mpi: message passing with the names of MYMPI, for the standard interpreter."""
