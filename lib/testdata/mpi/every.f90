! every.f90: the routines of module mpi, each result held against what it must be, with any MPI.
module checking
  implicit none
  integer :: wrong = 0
contains
  subroutine check(truth, what)
    logical, intent(in) :: truth
    character(len=*), intent(in) :: what
    if (.not. truth) then
      wrong = wrong + 1
      print *, 'wrong: ', what
    end if
  end subroutine
  ! Not commutative: (a, s) op (b, t) = (a*t + b, s*t).
  subroutine follow(a, b, n, type)
    integer, intent(in) :: n, type
    complex(8), intent(in) :: a(n)
    complex(8), intent(inout) :: b(n)
    integer :: i
    do i = 1, n
      b(i) = cmplx(real(a(i))*aimag(b(i)) + real(b(i)), aimag(a(i))*aimag(b(i)), 8)
    end do
    if (type < 0) b(1) = 0
  end subroutine
end module

program every
  use mpi
  use checking
  implicit none
  integer :: rank, size, ierr, status(MPI_STATUS_SIZE), n, i, next, prev, len, all
  integer :: requests(4), statuses(MPI_STATUS_SIZE, 4), index, part, column, op, grid, provided
  integer :: dims(2), coords(2), from, to, group, picked
  integer, allocatable :: counts(:), displs(:), ints(:), gathered(:)
  double precision :: x(3, 4), y(3, 4), sums(2), value, t
  real :: r
  complex(8) :: z(2), w(2)
  logical :: flag, periods(2)
  character(len=MPI_MAX_PROCESSOR_NAME) :: name
  character(len=8) :: text
  character(len=MPI_MAX_ERROR_STRING) :: message

  call MPI_Init_thread(MPI_THREAD_SINGLE, provided, ierr)
  call check(ierr == MPI_SUCCESS, 'init')
  call MPI_Initialized(flag, ierr)
  call check(flag, 'initialized')
  call MPI_Comm_rank(MPI_COMM_WORLD, rank, ierr)
  call MPI_Comm_size(MPI_COMM_WORLD, size, ierr)
  call MPI_Get_processor_name(name, len, ierr)
  call check(len > 0 .and. name(len:len) /= ' ', 'processor name')
  t = MPI_Wtime()
  call check(MPI_Wtime() >= t .and. MPI_Wtick() > 0, 'time')
  next = mod(rank + 1, size)
  prev = mod(rank + size - 1, size)

  call MPI_Sendrecv(rank, 1, MPI_INTEGER, next, 3, n, 1, MPI_INTEGER, prev, 3, MPI_COMM_WORLD, status, ierr)
  call check(n == prev .and. status(MPI_SOURCE) == prev .and. status(MPI_TAG) == 3, 'sendrecv')
  call MPI_Get_count(status, MPI_INTEGER, n, ierr)
  call check(n == 1, 'get_count')
  n = rank
  call MPI_Sendrecv_replace(n, 1, MPI_INTEGER, next, 1, prev, 1, MPI_COMM_WORLD, MPI_STATUS_IGNORE, ierr)
  call check(n == prev, 'sendrecv_replace')

  ! The second row of a matrix lies apart in memory: a vector type.
  x = 0
  do i = 1, 4
    x(2, i) = 10*rank + i
  end do
  y = -1
  call MPI_Type_vector(4, 1, 3, MPI_DOUBLE_PRECISION, column, ierr)
  call MPI_Type_commit(column, ierr)
  call MPI_Irecv(y(1, 1), 1, column, prev, 7, MPI_COMM_WORLD, requests(1), ierr)
  call MPI_Irecv(r, 1, MPI_REAL, next, 8, MPI_COMM_WORLD, requests(2), ierr)
  call MPI_Isend(x(2, 1), 1, column, next, 7, MPI_COMM_WORLD, requests(3), ierr)
  call MPI_Isend(1.5 + rank, 1, MPI_REAL, prev, 8, MPI_COMM_WORLD, requests(4), ierr)
  call MPI_Waitall(4, requests, statuses, ierr)
  call check(all_is(y(1, :), prev) .and. y(2, 2) == -1 .and. r == 1.5 + next, 'isend, irecv')
  call check(statuses(MPI_SOURCE, 1) == prev .and. statuses(MPI_TAG, 2) == 8, 'statuses')
  call MPI_Type_free(column, ierr)

  call MPI_Irecv(n, 1, MPI_INTEGER, prev, 9, MPI_COMM_WORLD, requests(1), ierr)
  call MPI_Issend(rank, 1, MPI_INTEGER, next, 9, MPI_COMM_WORLD, requests(2), ierr)
  do i = 1, 2
    call MPI_Waitany(2, requests, index, status, ierr)
    call check(index == 1 .or. index == 2, 'waitany')
  end do
  call MPI_Testall(2, requests, flag, MPI_STATUSES_IGNORE, ierr)
  call check(flag .and. n == prev, 'testall')

  text = ''
  if (rank == 0) text = 'a text'
  call MPI_Bcast(text, 8, MPI_CHARACTER, 0, MPI_COMM_WORLD, ierr)
  call check(text == 'a text', 'bcast')
  sums = [1d0, dble(rank)]
  call MPI_Allreduce(MPI_IN_PLACE, sums, 2, MPI_DOUBLE_PRECISION, MPI_SUM, MPI_COMM_WORLD, ierr)
  call check(sums(1) == size .and. sums(2) == size*(size - 1)/2, 'allreduce in place')
  value = -1
  call MPI_Reduce(dble(rank), value, 1, MPI_DOUBLE_PRECISION, MPI_MAX, size - 1, MPI_COMM_WORLD, ierr)
  call check(value == merge(size - 1, -1, rank == size - 1), 'reduce')
  call MPI_Allreduce(rank == 0, flag, 1, MPI_LOGICAL, MPI_LOR, MPI_COMM_WORLD, ierr)
  call check(flag, 'logical')
  call MPI_Scan(rank + 1, n, 1, MPI_INTEGER, MPI_SUM, MPI_COMM_WORLD, ierr)
  call check(n == (rank + 1)*(rank + 2)/2, 'scan')
  sums = [dble(mod(rank*3, 4)), dble(rank)]
  call MPI_Allreduce(sums, x, 1, MPI_2DOUBLE_PRECISION, MPI_MAXLOC, MPI_COMM_WORLD, ierr)
  call check(x(1, 1) == maxval([(mod(i*3, 4), i=0, size - 1)]), 'maxloc')
  call MPI_Op_create(follow, .false., op, ierr)
  z = cmplx(rank + 1, 10, 8)
  call MPI_Allreduce(z, w, 2, MPI_DOUBLE_COMPLEX, op, MPI_COMM_WORLD, ierr)
  n = 0
  do i = 1, size
    n = 10*n + i
  end do
  call check(nint(real(w(1))) == n .and. nint(real(w(2))) == n, 'own operation')
  call MPI_Op_free(op, ierr)

  allocate (counts(size), displs(size), ints(size + 1), gathered((size + 1)*(size + 2)))
  do i = 1, size
    counts(i) = i
    displs(i) = i*(i - 1)/2
  end do
  ints = rank
  call MPI_Gatherv(ints, rank + 1, MPI_INTEGER, gathered, counts, displs, MPI_INTEGER, 0, MPI_COMM_WORLD, ierr)
  if (rank == 0) call check(gathered(displs(size) + 1) == size - 1 .and. gathered(1) == 0, 'gatherv')
  gathered = rank
  call MPI_Scatterv(gathered, counts, displs, MPI_INTEGER, ints, rank + 1, MPI_INTEGER, size - 1, MPI_COMM_WORLD, ierr)
  call check(ints(rank + 1) == size - 1, 'scatterv')
  call MPI_Allgather(rank, 1, MPI_INTEGER, ints, 1, MPI_INTEGER, MPI_COMM_WORLD, ierr)
  call check(ints(size) == size - 1 .and. ints(1) == 0, 'allgather')
  ints = rank
  call MPI_Alltoall(ints, 1, MPI_INTEGER, gathered, 1, MPI_INTEGER, MPI_COMM_WORLD, ierr)
  call check(gathered(size) == size - 1 .and. gathered(1) == 0, 'alltoall')
  call MPI_Barrier(MPI_COMM_WORLD, ierr)

  call MPI_Comm_split(MPI_COMM_WORLD, mod(rank, 2), rank, part, ierr)
  call MPI_Comm_size(part, n, ierr)
  call check(n == (size + 1 - mod(rank, 2))/2, 'split')
  call MPI_Comm_free(part, ierr)
  call check(part == MPI_COMM_NULL, 'free')
  dims = 0
  periods = [.true., .false.]
  call MPI_Dims_create(size, 2, dims, ierr)
  call MPI_Cart_create(MPI_COMM_WORLD, 2, dims, periods, .false., grid, ierr)
  call MPI_Cart_coords(grid, rank, 2, coords, ierr)
  call MPI_Cart_shift(grid, 1, dims(2), from, to, ierr)
  call check(from == MPI_PROC_NULL .and. to == MPI_PROC_NULL .and. all_below(coords, dims), 'cart')
  call MPI_Comm_free(grid, ierr)
  call MPI_Comm_group(MPI_COMM_WORLD, group, ierr)
  call MPI_Group_incl(group, 1, [size - 1], picked, ierr)
  call MPI_Group_rank(picked, n, ierr)
  call check(n == merge(0, MPI_UNDEFINED, rank == size - 1), 'group')

  call MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN, ierr)
  call MPI_Send(rank, 1, MPI_INTEGER, size + 5, 0, MPI_COMM_WORLD, ierr)
  call MPI_Error_class(ierr, n, i)
  call MPI_Error_string(ierr, message, len, i)
  call check(n == MPI_ERR_RANK .and. len > 0, 'error class')

  call MPI_Reduce(wrong, all, 1, MPI_INTEGER, MPI_SUM, 0, MPI_COMM_WORLD, ierr)
  if (rank == 0) print '(a,i0,a,i0)', 'ranks: ', size, ', wrong: ', all
  call MPI_Finalize(ierr)
contains
  logical function all_is(row, r)
    double precision, intent(in) :: row(4)
    integer, intent(in) :: r
    integer :: k
    all_is = .true.
    do k = 1, 4
      all_is = all_is .and. row(k) == 10*r + k
    end do
  end function
  logical function all_below(a, b)
    integer, intent(in) :: a(2), b(2)
    all_below = a(1) < b(1) .and. a(2) < b(2) .and. a(1) >= 0 .and. a(2) >= 0
  end function
end program
