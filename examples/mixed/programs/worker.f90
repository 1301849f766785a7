! worker.f90: a rank that lets its share of the cells react, in Fortran. See driver.py.
program worker
  use mpi
  implicit none
  integer :: rank, size, ierr, order(3), n, s, none(1)
  double precision :: dt
  double precision, allocatable :: v(:), w(:), dv(:), dw(:)
  call MPI_Init(ierr)
  call MPI_Comm_rank(MPI_COMM_WORLD, rank, ierr)
  call MPI_Comm_size(MPI_COMM_WORLD, size, ierr)
  call MPI_Gather(2, 1, MPI_INTEGER, none, 0, MPI_INTEGER, 0, MPI_COMM_WORLD, ierr)
  do
    call MPI_Bcast(order, 3, MPI_INTEGER, 0, MPI_COMM_WORLD, ierr)
    if (order(1) == 0) exit
    call MPI_Bcast(dt, 1, MPI_DOUBLE_PRECISION, 0, MPI_COMM_WORLD, ierr)
    n = order(2)*rank/(size - 1) - order(2)*(rank - 1)/(size - 1)
    allocate (v(n), w(n), dv(n), dw(n))
    call MPI_Scatterv(dt, none, none, MPI_DOUBLE_PRECISION, v, n, MPI_DOUBLE_PRECISION, 0, MPI_COMM_WORLD, ierr)
    call MPI_Scatterv(dt, none, none, MPI_DOUBLE_PRECISION, w, n, MPI_DOUBLE_PRECISION, 0, MPI_COMM_WORLD, ierr)
    do s = 1, order(3)
      dv = v - v*v*v/3.0d0 - w
      dw = 0.08d0*(v + 0.7d0 - 0.8d0*w)
      v = v + dt*dv
      w = w + dt*dw
    end do
    call MPI_Gatherv(v, n, MPI_DOUBLE_PRECISION, dt, none, none, MPI_DOUBLE_PRECISION, 0, MPI_COMM_WORLD, ierr)
    call MPI_Gatherv(w, n, MPI_DOUBLE_PRECISION, dt, none, none, MPI_DOUBLE_PRECISION, 0, MPI_COMM_WORLD, ierr)
    deallocate (v, w, dv, dw)
  end do
  call MPI_Finalize(ierr)
end program
