C     The area under 4/(1+x*x) in the Fortran of old, with mpif.h.
      program old
      implicit none
      include 'mpif.h'
      integer ierr, rank, nprocs, i, n, status(MPI_STATUS_SIZE)
      double precision h, s, x, pi, buf(2)
      call MPI_INIT(ierr)
      call MPI_COMM_RANK(MPI_COMM_WORLD, rank, ierr)
      call MPI_COMM_SIZE(MPI_COMM_WORLD, nprocs, ierr)
      n = 0
      if (rank .eq. 0) n = 100000
      call MPI_BCAST(n, 1, MPI_INTEGER, 0, MPI_COMM_WORLD, ierr)
      h = 1.0d0/n
      s = 0
      do 10 i = rank + 1, n, nprocs
         x = h*(i - 0.5d0)
         s = s + 4.0d0/(1.0d0 + x*x)
 10   continue
      buf(1) = h*s
      if (rank .ne. 0) then
         call MPI_SEND(buf, 1, MPI_DOUBLE_PRECISION, 0, 1,
     &                 MPI_COMM_WORLD, ierr)
      else
         pi = buf(1)
         do 20 i = 1, nprocs - 1
            call MPI_RECV(buf(2), 1, MPI_DOUBLE_PRECISION,
     &           MPI_ANY_SOURCE, 1, MPI_COMM_WORLD, status, ierr)
            pi = pi + buf(2)
 20      continue
         if (abs(pi - 3.141592653589793d0) .lt. 1d-9) then
            print '(a)', 'pi is right'
         end if
         if (MPI_WTIME() .lt. 0) print '(a)', 'no time'
      end if
      call MPI_FINALIZE(ierr)
      end
