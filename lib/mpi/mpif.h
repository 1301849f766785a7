! mpif.h: MPI for Fortran programs that include it rather than use module mpi.
      include 'mpif-constants.h'
      double precision MPI_WTIME, MPI_WTICK
      external MPI_WTIME, MPI_WTICK
