! mpi.f90: the Fortran module mpi, for gfortran. Its routines are those of mpi.h; what the MPI standard
! says of each holds. Buffers may be of any type and rank, and must be contiguous where a call is non-blocking.
module mpi
  implicit none
  include 'mpif-constants.h'

  interface
    double precision function MPI_Wtime()
    end function
    double precision function MPI_Wtick()
    end function
    subroutine MPI_Get_processor_name(name, resultlen, ierror)
      character(len=*), intent(out) :: name
      integer, intent(out) :: resultlen, ierror
    end subroutine
    subroutine MPI_Get_library_version(version, resultlen, ierror)
      character(len=*), intent(out) :: version
      integer, intent(out) :: resultlen, ierror
    end subroutine
    subroutine MPI_Error_string(errorcode, string, resultlen, ierror)
      integer, intent(in) :: errorcode
      character(len=*), intent(out) :: string
      integer, intent(out) :: resultlen, ierror
    end subroutine
    subroutine MPI_Comm_set_name(comm, comm_name, ierror)
      integer, intent(in) :: comm
      character(len=*), intent(in) :: comm_name
      integer, intent(out) :: ierror
    end subroutine
    subroutine MPI_Comm_get_name(comm, comm_name, resultlen, ierror)
      integer, intent(in) :: comm
      character(len=*), intent(out) :: comm_name
      integer, intent(out) :: resultlen, ierror
    end subroutine
    subroutine MPI_Comm_get_attr(comm, comm_keyval, attribute_val, flag, ierror)
      integer, intent(in) :: comm, comm_keyval
      integer(8), intent(out) :: attribute_val
      logical, intent(out) :: flag
      integer, intent(out) :: ierror
    end subroutine
    subroutine MPI_Op_create(user_fn, commute, op, ierror)
      external :: user_fn
      logical, intent(in) :: commute
      integer, intent(out) :: op, ierror
    end subroutine
    subroutine MPI_Get_address(location, address, ierror)
      type(*), dimension(*) :: location
      !GCC$ ATTRIBUTES NO_ARG_CHECK :: location
      integer(8), intent(out) :: address
      integer, intent(out) :: ierror
    end subroutine
    subroutine MPI_Init(ierror)
      integer, intent(out) :: ierror
    end subroutine
    subroutine MPI_Init_thread(required, provided, ierror)
      integer, intent(in) :: required
      integer, intent(out) :: provided
      integer, intent(out) :: ierror
    end subroutine
    subroutine MPI_Initialized(flag, ierror)
      logical, intent(out) :: flag
      integer, intent(out) :: ierror
    end subroutine
    subroutine MPI_Finalize(ierror)
      integer, intent(out) :: ierror
    end subroutine
    subroutine MPI_Finalized(flag, ierror)
      logical, intent(out) :: flag
      integer, intent(out) :: ierror
    end subroutine
    subroutine MPI_Query_thread(provided, ierror)
      integer, intent(out) :: provided
      integer, intent(out) :: ierror
    end subroutine
    subroutine MPI_Abort(comm, errorcode, ierror)
      integer, intent(in) :: comm, errorcode
      integer, intent(out) :: ierror
    end subroutine
    subroutine MPI_Error_class(errorcode, errorclass, ierror)
      integer, intent(in) :: errorcode
      integer, intent(out) :: errorclass
      integer, intent(out) :: ierror
    end subroutine
    subroutine MPI_Get_version(version, subversion, ierror)
      integer, intent(out) :: version, subversion
      integer, intent(out) :: ierror
    end subroutine
    subroutine MPI_Comm_set_errhandler(comm, errhandler, ierror)
      integer, intent(in) :: comm, errhandler
      integer, intent(out) :: ierror
    end subroutine
    subroutine MPI_Comm_get_errhandler(comm, errhandler, ierror)
      integer, intent(in) :: comm
      integer, intent(out) :: errhandler
      integer, intent(out) :: ierror
    end subroutine
    subroutine MPI_Errhandler_free(errhandler, ierror)
      integer, intent(inout) :: errhandler
      integer, intent(out) :: ierror
    end subroutine
    subroutine MPI_Comm_rank(comm, rank, ierror)
      integer, intent(in) :: comm
      integer, intent(out) :: rank
      integer, intent(out) :: ierror
    end subroutine
    subroutine MPI_Comm_size(comm, size, ierror)
      integer, intent(in) :: comm
      integer, intent(out) :: size
      integer, intent(out) :: ierror
    end subroutine
    subroutine MPI_Comm_dup(comm, newcomm, ierror)
      integer, intent(in) :: comm
      integer, intent(out) :: newcomm
      integer, intent(out) :: ierror
    end subroutine
    subroutine MPI_Comm_split(comm, color, key, newcomm, ierror)
      integer, intent(in) :: comm, color, key
      integer, intent(out) :: newcomm
      integer, intent(out) :: ierror
    end subroutine
    subroutine MPI_Comm_split_type(comm, split_type, key, info, newcomm, ierror)
      integer, intent(in) :: comm, split_type, key, info
      integer, intent(out) :: newcomm
      integer, intent(out) :: ierror
    end subroutine
    subroutine MPI_Comm_create(comm, group, newcomm, ierror)
      integer, intent(in) :: comm, group
      integer, intent(out) :: newcomm
      integer, intent(out) :: ierror
    end subroutine
    subroutine MPI_Comm_free(comm, ierror)
      integer, intent(inout) :: comm
      integer, intent(out) :: ierror
    end subroutine
    subroutine MPI_Comm_compare(comm1, comm2, result, ierror)
      integer, intent(in) :: comm1, comm2
      integer, intent(out) :: result
      integer, intent(out) :: ierror
    end subroutine
    subroutine MPI_Comm_group(comm, group, ierror)
      integer, intent(in) :: comm
      integer, intent(out) :: group
      integer, intent(out) :: ierror
    end subroutine
    subroutine MPI_Comm_test_inter(comm, flag, ierror)
      integer, intent(in) :: comm
      logical, intent(out) :: flag
      integer, intent(out) :: ierror
    end subroutine
    subroutine MPI_Group_size(group, size, ierror)
      integer, intent(in) :: group
      integer, intent(out) :: size
      integer, intent(out) :: ierror
    end subroutine
    subroutine MPI_Group_rank(group, rank, ierror)
      integer, intent(in) :: group
      integer, intent(out) :: rank
      integer, intent(out) :: ierror
    end subroutine
    subroutine MPI_Group_incl(group, n, ranks, newgroup, ierror)
      integer, intent(in) :: group, n, ranks(*)
      integer, intent(out) :: newgroup
      integer, intent(out) :: ierror
    end subroutine
    subroutine MPI_Group_excl(group, n, ranks, newgroup, ierror)
      integer, intent(in) :: group, n, ranks(*)
      integer, intent(out) :: newgroup
      integer, intent(out) :: ierror
    end subroutine
    subroutine MPI_Group_union(group1, group2, newgroup, ierror)
      integer, intent(in) :: group1, group2
      integer, intent(out) :: newgroup
      integer, intent(out) :: ierror
    end subroutine
    subroutine MPI_Group_intersection(group1, group2, newgroup, ierror)
      integer, intent(in) :: group1, group2
      integer, intent(out) :: newgroup
      integer, intent(out) :: ierror
    end subroutine
    subroutine MPI_Group_difference(group1, group2, newgroup, ierror)
      integer, intent(in) :: group1, group2
      integer, intent(out) :: newgroup
      integer, intent(out) :: ierror
    end subroutine
    subroutine MPI_Group_compare(group1, group2, result, ierror)
      integer, intent(in) :: group1, group2
      integer, intent(out) :: result
      integer, intent(out) :: ierror
    end subroutine
    subroutine MPI_Group_translate_ranks(group1, n, ranks1, group2, ranks2, ierror)
      integer, intent(in) :: group1, n, ranks1(*), group2
      integer, intent(out) :: ranks2(*)
      integer, intent(out) :: ierror
    end subroutine
    subroutine MPI_Group_free(group, ierror)
      integer, intent(inout) :: group
      integer, intent(out) :: ierror
    end subroutine
    subroutine MPI_Dims_create(nnodes, ndims, dims, ierror)
      integer, intent(in) :: nnodes, ndims
      integer, intent(inout) :: dims(*)
      integer, intent(out) :: ierror
    end subroutine
    subroutine MPI_Cart_create(comm, ndims, dims, periods, reorder, comm_cart, ierror)
      integer, intent(in) :: comm, ndims, dims(*)
      logical, intent(in) :: periods(*), reorder
      integer, intent(out) :: comm_cart
      integer, intent(out) :: ierror
    end subroutine
    subroutine MPI_Cartdim_get(comm, ndims, ierror)
      integer, intent(in) :: comm
      integer, intent(out) :: ndims
      integer, intent(out) :: ierror
    end subroutine
    subroutine MPI_Cart_get(comm, maxdims, dims, periods, coords, ierror)
      integer, intent(in) :: comm, maxdims
      integer, intent(out) :: dims(*), coords(*)
      logical, intent(out) :: periods(*)
      integer, intent(out) :: ierror
    end subroutine
    subroutine MPI_Cart_coords(comm, rank, maxdims, coords, ierror)
      integer, intent(in) :: comm, rank, maxdims
      integer, intent(out) :: coords(*)
      integer, intent(out) :: ierror
    end subroutine
    subroutine MPI_Cart_rank(comm, coords, rank, ierror)
      integer, intent(in) :: comm, coords(*)
      integer, intent(out) :: rank
      integer, intent(out) :: ierror
    end subroutine
    subroutine MPI_Cart_shift(comm, direction, disp, rank_source, rank_dest, ierror)
      integer, intent(in) :: comm, direction, disp
      integer, intent(out) :: rank_source, rank_dest
      integer, intent(out) :: ierror
    end subroutine
    subroutine MPI_Cart_sub(comm, remain_dims, newcomm, ierror)
      integer, intent(in) :: comm
      logical, intent(in) :: remain_dims(*)
      integer, intent(out) :: newcomm
      integer, intent(out) :: ierror
    end subroutine
    subroutine MPI_Send(buf, count, datatype, dest, tag, comm, ierror)
      type(*), dimension(*) :: buf
      !GCC$ ATTRIBUTES NO_ARG_CHECK :: buf
      integer, intent(in) :: count, datatype, dest, tag, comm
      integer, intent(out) :: ierror
    end subroutine
    subroutine MPI_Ssend(buf, count, datatype, dest, tag, comm, ierror)
      type(*), dimension(*) :: buf
      !GCC$ ATTRIBUTES NO_ARG_CHECK :: buf
      integer, intent(in) :: count, datatype, dest, tag, comm
      integer, intent(out) :: ierror
    end subroutine
    subroutine MPI_Rsend(buf, count, datatype, dest, tag, comm, ierror)
      type(*), dimension(*) :: buf
      !GCC$ ATTRIBUTES NO_ARG_CHECK :: buf
      integer, intent(in) :: count, datatype, dest, tag, comm
      integer, intent(out) :: ierror
    end subroutine
    subroutine MPI_Bsend(buf, count, datatype, dest, tag, comm, ierror)
      type(*), dimension(*) :: buf
      !GCC$ ATTRIBUTES NO_ARG_CHECK :: buf
      integer, intent(in) :: count, datatype, dest, tag, comm
      integer, intent(out) :: ierror
    end subroutine
    subroutine MPI_Recv(buf, count, datatype, source, tag, comm, status, ierror)
      type(*), dimension(*) :: buf
      !GCC$ ATTRIBUTES NO_ARG_CHECK :: buf
      integer, intent(in) :: count, datatype, source, tag, comm
      integer, intent(out) :: status(8)
      integer, intent(out) :: ierror
    end subroutine
    subroutine MPI_Sendrecv(sendbuf, sendcount, sendtype, dest, sendtag, recvbuf, recvcount, &
          recvtype, source, recvtag, comm, status, ierror)
      type(*), dimension(*) :: sendbuf
      !GCC$ ATTRIBUTES NO_ARG_CHECK :: sendbuf
      type(*), dimension(*) :: recvbuf
      !GCC$ ATTRIBUTES NO_ARG_CHECK :: recvbuf
      integer, intent(in) :: sendcount, sendtype, dest, sendtag, recvcount, recvtype, source, &
          recvtag, comm
      integer, intent(out) :: status(8)
      integer, intent(out) :: ierror
    end subroutine
    subroutine MPI_Sendrecv_replace(buf, count, datatype, dest, sendtag, source, recvtag, comm, &
          status, ierror)
      type(*), dimension(*) :: buf
      !GCC$ ATTRIBUTES NO_ARG_CHECK :: buf
      integer, intent(in) :: count, datatype, dest, sendtag, source, recvtag, comm
      integer, intent(out) :: status(8)
      integer, intent(out) :: ierror
    end subroutine
    subroutine MPI_Probe(source, tag, comm, status, ierror)
      integer, intent(in) :: source, tag, comm
      integer, intent(out) :: status(8)
      integer, intent(out) :: ierror
    end subroutine
    subroutine MPI_Iprobe(source, tag, comm, flag, status, ierror)
      integer, intent(in) :: source, tag, comm
      logical, intent(out) :: flag
      integer, intent(out) :: status(8)
      integer, intent(out) :: ierror
    end subroutine
    subroutine MPI_Mprobe(source, tag, comm, message, status, ierror)
      integer, intent(in) :: source, tag, comm
      integer, intent(out) :: message, status(8)
      integer, intent(out) :: ierror
    end subroutine
    subroutine MPI_Improbe(source, tag, comm, flag, message, status, ierror)
      integer, intent(in) :: source, tag, comm
      logical, intent(out) :: flag
      integer, intent(out) :: message, status(8)
      integer, intent(out) :: ierror
    end subroutine
    subroutine MPI_Mrecv(buf, count, datatype, message, status, ierror)
      type(*), dimension(*) :: buf
      !GCC$ ATTRIBUTES NO_ARG_CHECK :: buf
      integer, intent(in) :: count, datatype
      integer, intent(inout) :: message
      integer, intent(out) :: status(8)
      integer, intent(out) :: ierror
    end subroutine
    subroutine MPI_Get_count(status, datatype, count, ierror)
      integer, intent(in) :: status(8), datatype
      integer, intent(out) :: count
      integer, intent(out) :: ierror
    end subroutine
    subroutine MPI_Get_elements(status, datatype, count, ierror)
      integer, intent(in) :: status(8), datatype
      integer, intent(out) :: count
      integer, intent(out) :: ierror
    end subroutine
    subroutine MPI_Isend(buf, count, datatype, dest, tag, comm, request, ierror)
      type(*), dimension(*) :: buf
      !GCC$ ATTRIBUTES NO_ARG_CHECK :: buf
      integer, intent(in) :: count, datatype, dest, tag, comm
      integer, intent(out) :: request
      integer, intent(out) :: ierror
    end subroutine
    subroutine MPI_Issend(buf, count, datatype, dest, tag, comm, request, ierror)
      type(*), dimension(*) :: buf
      !GCC$ ATTRIBUTES NO_ARG_CHECK :: buf
      integer, intent(in) :: count, datatype, dest, tag, comm
      integer, intent(out) :: request
      integer, intent(out) :: ierror
    end subroutine
    subroutine MPI_Irsend(buf, count, datatype, dest, tag, comm, request, ierror)
      type(*), dimension(*) :: buf
      !GCC$ ATTRIBUTES NO_ARG_CHECK :: buf
      integer, intent(in) :: count, datatype, dest, tag, comm
      integer, intent(out) :: request
      integer, intent(out) :: ierror
    end subroutine
    subroutine MPI_Irecv(buf, count, datatype, source, tag, comm, request, ierror)
      type(*), dimension(*) :: buf
      !GCC$ ATTRIBUTES NO_ARG_CHECK :: buf
      integer, intent(in) :: count, datatype, source, tag, comm
      integer, intent(out) :: request
      integer, intent(out) :: ierror
    end subroutine
    subroutine MPI_Wait(request, status, ierror)
      integer, intent(inout) :: request
      integer, intent(out) :: status(8)
      integer, intent(out) :: ierror
    end subroutine
    subroutine MPI_Test(request, flag, status, ierror)
      integer, intent(inout) :: request
      logical, intent(out) :: flag
      integer, intent(out) :: status(8)
      integer, intent(out) :: ierror
    end subroutine
    subroutine MPI_Waitall(count, array_of_requests, array_of_statuses, ierror)
      integer, intent(in) :: count
      integer, intent(inout) :: array_of_requests(*)
      integer, intent(out) :: array_of_statuses(8, *)
      integer, intent(out) :: ierror
    end subroutine
    subroutine MPI_Testall(count, array_of_requests, flag, array_of_statuses, ierror)
      integer, intent(in) :: count
      integer, intent(inout) :: array_of_requests(*)
      logical, intent(out) :: flag
      integer, intent(out) :: array_of_statuses(8, *)
      integer, intent(out) :: ierror
    end subroutine
    subroutine MPI_Waitany(count, array_of_requests, index, status, ierror)
      integer, intent(in) :: count
      integer, intent(inout) :: array_of_requests(*)
      integer, intent(out) :: index, status(8)
      integer, intent(out) :: ierror
    end subroutine
    subroutine MPI_Testany(count, array_of_requests, index, flag, status, ierror)
      integer, intent(in) :: count
      integer, intent(inout) :: array_of_requests(*)
      integer, intent(out) :: index, status(8)
      logical, intent(out) :: flag
      integer, intent(out) :: ierror
    end subroutine
    subroutine MPI_Waitsome(incount, array_of_requests, outcount, array_of_indices, &
          array_of_statuses, ierror)
      integer, intent(in) :: incount
      integer, intent(inout) :: array_of_requests(*)
      integer, intent(out) :: outcount, array_of_indices(*), array_of_statuses(8, *)
      integer, intent(out) :: ierror
    end subroutine
    subroutine MPI_Testsome(incount, array_of_requests, outcount, array_of_indices, &
          array_of_statuses, ierror)
      integer, intent(in) :: incount
      integer, intent(inout) :: array_of_requests(*)
      integer, intent(out) :: outcount, array_of_indices(*), array_of_statuses(8, *)
      integer, intent(out) :: ierror
    end subroutine
    subroutine MPI_Cancel(request, ierror)
      integer, intent(inout) :: request
      integer, intent(out) :: ierror
    end subroutine
    subroutine MPI_Test_cancelled(status, flag, ierror)
      integer, intent(in) :: status(8)
      logical, intent(out) :: flag
      integer, intent(out) :: ierror
    end subroutine
    subroutine MPI_Request_free(request, ierror)
      integer, intent(inout) :: request
      integer, intent(out) :: ierror
    end subroutine
    subroutine MPI_Barrier(comm, ierror)
      integer, intent(in) :: comm
      integer, intent(out) :: ierror
    end subroutine
    subroutine MPI_Bcast(buffer, count, datatype, root, comm, ierror)
      type(*), dimension(*) :: buffer
      !GCC$ ATTRIBUTES NO_ARG_CHECK :: buffer
      integer, intent(in) :: count, datatype, root, comm
      integer, intent(out) :: ierror
    end subroutine
    subroutine MPI_Reduce(sendbuf, recvbuf, count, datatype, op, root, comm, ierror)
      type(*), dimension(*) :: sendbuf
      !GCC$ ATTRIBUTES NO_ARG_CHECK :: sendbuf
      type(*), dimension(*) :: recvbuf
      !GCC$ ATTRIBUTES NO_ARG_CHECK :: recvbuf
      integer, intent(in) :: count, datatype, op, root, comm
      integer, intent(out) :: ierror
    end subroutine
    subroutine MPI_Allreduce(sendbuf, recvbuf, count, datatype, op, comm, ierror)
      type(*), dimension(*) :: sendbuf
      !GCC$ ATTRIBUTES NO_ARG_CHECK :: sendbuf
      type(*), dimension(*) :: recvbuf
      !GCC$ ATTRIBUTES NO_ARG_CHECK :: recvbuf
      integer, intent(in) :: count, datatype, op, comm
      integer, intent(out) :: ierror
    end subroutine
    subroutine MPI_Scan(sendbuf, recvbuf, count, datatype, op, comm, ierror)
      type(*), dimension(*) :: sendbuf
      !GCC$ ATTRIBUTES NO_ARG_CHECK :: sendbuf
      type(*), dimension(*) :: recvbuf
      !GCC$ ATTRIBUTES NO_ARG_CHECK :: recvbuf
      integer, intent(in) :: count, datatype, op, comm
      integer, intent(out) :: ierror
    end subroutine
    subroutine MPI_Exscan(sendbuf, recvbuf, count, datatype, op, comm, ierror)
      type(*), dimension(*) :: sendbuf
      !GCC$ ATTRIBUTES NO_ARG_CHECK :: sendbuf
      type(*), dimension(*) :: recvbuf
      !GCC$ ATTRIBUTES NO_ARG_CHECK :: recvbuf
      integer, intent(in) :: count, datatype, op, comm
      integer, intent(out) :: ierror
    end subroutine
    subroutine MPI_Reduce_scatter(sendbuf, recvbuf, recvcounts, datatype, op, comm, ierror)
      type(*), dimension(*) :: sendbuf
      !GCC$ ATTRIBUTES NO_ARG_CHECK :: sendbuf
      type(*), dimension(*) :: recvbuf
      !GCC$ ATTRIBUTES NO_ARG_CHECK :: recvbuf
      integer, intent(in) :: recvcounts(*), datatype, op, comm
      integer, intent(out) :: ierror
    end subroutine
    subroutine MPI_Reduce_scatter_block(sendbuf, recvbuf, recvcount, datatype, op, comm, ierror)
      type(*), dimension(*) :: sendbuf
      !GCC$ ATTRIBUTES NO_ARG_CHECK :: sendbuf
      type(*), dimension(*) :: recvbuf
      !GCC$ ATTRIBUTES NO_ARG_CHECK :: recvbuf
      integer, intent(in) :: recvcount, datatype, op, comm
      integer, intent(out) :: ierror
    end subroutine
    subroutine MPI_Gather(sendbuf, sendcount, sendtype, recvbuf, recvcount, recvtype, root, comm, &
          ierror)
      type(*), dimension(*) :: sendbuf
      !GCC$ ATTRIBUTES NO_ARG_CHECK :: sendbuf
      type(*), dimension(*) :: recvbuf
      !GCC$ ATTRIBUTES NO_ARG_CHECK :: recvbuf
      integer, intent(in) :: sendcount, sendtype, recvcount, recvtype, root, comm
      integer, intent(out) :: ierror
    end subroutine
    subroutine MPI_Gatherv(sendbuf, sendcount, sendtype, recvbuf, recvcounts, displs, recvtype, &
          root, comm, ierror)
      type(*), dimension(*) :: sendbuf
      !GCC$ ATTRIBUTES NO_ARG_CHECK :: sendbuf
      type(*), dimension(*) :: recvbuf
      !GCC$ ATTRIBUTES NO_ARG_CHECK :: recvbuf
      integer, intent(in) :: sendcount, sendtype, recvcounts(*), displs(*), recvtype, root, comm
      integer, intent(out) :: ierror
    end subroutine
    subroutine MPI_Scatter(sendbuf, sendcount, sendtype, recvbuf, recvcount, recvtype, root, comm, &
          ierror)
      type(*), dimension(*) :: sendbuf
      !GCC$ ATTRIBUTES NO_ARG_CHECK :: sendbuf
      type(*), dimension(*) :: recvbuf
      !GCC$ ATTRIBUTES NO_ARG_CHECK :: recvbuf
      integer, intent(in) :: sendcount, sendtype, recvcount, recvtype, root, comm
      integer, intent(out) :: ierror
    end subroutine
    subroutine MPI_Scatterv(sendbuf, sendcounts, displs, sendtype, recvbuf, recvcount, recvtype, &
          root, comm, ierror)
      type(*), dimension(*) :: sendbuf
      !GCC$ ATTRIBUTES NO_ARG_CHECK :: sendbuf
      type(*), dimension(*) :: recvbuf
      !GCC$ ATTRIBUTES NO_ARG_CHECK :: recvbuf
      integer, intent(in) :: sendcounts(*), displs(*), sendtype, recvcount, recvtype, root, comm
      integer, intent(out) :: ierror
    end subroutine
    subroutine MPI_Allgather(sendbuf, sendcount, sendtype, recvbuf, recvcount, recvtype, comm, &
          ierror)
      type(*), dimension(*) :: sendbuf
      !GCC$ ATTRIBUTES NO_ARG_CHECK :: sendbuf
      type(*), dimension(*) :: recvbuf
      !GCC$ ATTRIBUTES NO_ARG_CHECK :: recvbuf
      integer, intent(in) :: sendcount, sendtype, recvcount, recvtype, comm
      integer, intent(out) :: ierror
    end subroutine
    subroutine MPI_Allgatherv(sendbuf, sendcount, sendtype, recvbuf, recvcounts, displs, recvtype, &
          comm, ierror)
      type(*), dimension(*) :: sendbuf
      !GCC$ ATTRIBUTES NO_ARG_CHECK :: sendbuf
      type(*), dimension(*) :: recvbuf
      !GCC$ ATTRIBUTES NO_ARG_CHECK :: recvbuf
      integer, intent(in) :: sendcount, sendtype, recvcounts(*), displs(*), recvtype, comm
      integer, intent(out) :: ierror
    end subroutine
    subroutine MPI_Alltoall(sendbuf, sendcount, sendtype, recvbuf, recvcount, recvtype, comm, ierror)
      type(*), dimension(*) :: sendbuf
      !GCC$ ATTRIBUTES NO_ARG_CHECK :: sendbuf
      type(*), dimension(*) :: recvbuf
      !GCC$ ATTRIBUTES NO_ARG_CHECK :: recvbuf
      integer, intent(in) :: sendcount, sendtype, recvcount, recvtype, comm
      integer, intent(out) :: ierror
    end subroutine
    subroutine MPI_Alltoallv(sendbuf, sendcounts, sdispls, sendtype, recvbuf, recvcounts, rdispls, &
          recvtype, comm, ierror)
      type(*), dimension(*) :: sendbuf
      !GCC$ ATTRIBUTES NO_ARG_CHECK :: sendbuf
      type(*), dimension(*) :: recvbuf
      !GCC$ ATTRIBUTES NO_ARG_CHECK :: recvbuf
      integer, intent(in) :: sendcounts(*), sdispls(*), sendtype, recvcounts(*), rdispls(*), &
          recvtype, comm
      integer, intent(out) :: ierror
    end subroutine
    subroutine MPI_Ibarrier(comm, request, ierror)
      integer, intent(in) :: comm
      integer, intent(out) :: request
      integer, intent(out) :: ierror
    end subroutine
    subroutine MPI_Ibcast(buffer, count, datatype, root, comm, request, ierror)
      type(*), dimension(*) :: buffer
      !GCC$ ATTRIBUTES NO_ARG_CHECK :: buffer
      integer, intent(in) :: count, datatype, root, comm
      integer, intent(out) :: request
      integer, intent(out) :: ierror
    end subroutine
    subroutine MPI_Ireduce(sendbuf, recvbuf, count, datatype, op, root, comm, request, ierror)
      type(*), dimension(*) :: sendbuf
      !GCC$ ATTRIBUTES NO_ARG_CHECK :: sendbuf
      type(*), dimension(*) :: recvbuf
      !GCC$ ATTRIBUTES NO_ARG_CHECK :: recvbuf
      integer, intent(in) :: count, datatype, op, root, comm
      integer, intent(out) :: request
      integer, intent(out) :: ierror
    end subroutine
    subroutine MPI_Iallreduce(sendbuf, recvbuf, count, datatype, op, comm, request, ierror)
      type(*), dimension(*) :: sendbuf
      !GCC$ ATTRIBUTES NO_ARG_CHECK :: sendbuf
      type(*), dimension(*) :: recvbuf
      !GCC$ ATTRIBUTES NO_ARG_CHECK :: recvbuf
      integer, intent(in) :: count, datatype, op, comm
      integer, intent(out) :: request
      integer, intent(out) :: ierror
    end subroutine
    subroutine MPI_Igather(sendbuf, sendcount, sendtype, recvbuf, recvcount, recvtype, root, comm, &
          request, ierror)
      type(*), dimension(*) :: sendbuf
      !GCC$ ATTRIBUTES NO_ARG_CHECK :: sendbuf
      type(*), dimension(*) :: recvbuf
      !GCC$ ATTRIBUTES NO_ARG_CHECK :: recvbuf
      integer, intent(in) :: sendcount, sendtype, recvcount, recvtype, root, comm
      integer, intent(out) :: request
      integer, intent(out) :: ierror
    end subroutine
    subroutine MPI_Iscatter(sendbuf, sendcount, sendtype, recvbuf, recvcount, recvtype, root, comm, &
          request, ierror)
      type(*), dimension(*) :: sendbuf
      !GCC$ ATTRIBUTES NO_ARG_CHECK :: sendbuf
      type(*), dimension(*) :: recvbuf
      !GCC$ ATTRIBUTES NO_ARG_CHECK :: recvbuf
      integer, intent(in) :: sendcount, sendtype, recvcount, recvtype, root, comm
      integer, intent(out) :: request
      integer, intent(out) :: ierror
    end subroutine
    subroutine MPI_Iallgather(sendbuf, sendcount, sendtype, recvbuf, recvcount, recvtype, comm, &
          request, ierror)
      type(*), dimension(*) :: sendbuf
      !GCC$ ATTRIBUTES NO_ARG_CHECK :: sendbuf
      type(*), dimension(*) :: recvbuf
      !GCC$ ATTRIBUTES NO_ARG_CHECK :: recvbuf
      integer, intent(in) :: sendcount, sendtype, recvcount, recvtype, comm
      integer, intent(out) :: request
      integer, intent(out) :: ierror
    end subroutine
    subroutine MPI_Ialltoall(sendbuf, sendcount, sendtype, recvbuf, recvcount, recvtype, comm, &
          request, ierror)
      type(*), dimension(*) :: sendbuf
      !GCC$ ATTRIBUTES NO_ARG_CHECK :: sendbuf
      type(*), dimension(*) :: recvbuf
      !GCC$ ATTRIBUTES NO_ARG_CHECK :: recvbuf
      integer, intent(in) :: sendcount, sendtype, recvcount, recvtype, comm
      integer, intent(out) :: request
      integer, intent(out) :: ierror
    end subroutine
    subroutine MPI_Op_free(op, ierror)
      integer, intent(inout) :: op
      integer, intent(out) :: ierror
    end subroutine
    subroutine MPI_Type_size(datatype, size, ierror)
      integer, intent(in) :: datatype
      integer, intent(out) :: size
      integer, intent(out) :: ierror
    end subroutine
    subroutine MPI_Type_get_extent(datatype, lb, extent, ierror)
      integer, intent(in) :: datatype
      integer(8), intent(out) :: lb, extent
      integer, intent(out) :: ierror
    end subroutine
    subroutine MPI_Type_contiguous(count, oldtype, newtype, ierror)
      integer, intent(in) :: count, oldtype
      integer, intent(out) :: newtype
      integer, intent(out) :: ierror
    end subroutine
    subroutine MPI_Type_vector(count, blocklength, stride, oldtype, newtype, ierror)
      integer, intent(in) :: count, blocklength, stride, oldtype
      integer, intent(out) :: newtype
      integer, intent(out) :: ierror
    end subroutine
    subroutine MPI_Type_create_hvector(count, blocklength, stride, oldtype, newtype, ierror)
      integer, intent(in) :: count, blocklength, oldtype
      integer(8), intent(in) :: stride
      integer, intent(out) :: newtype
      integer, intent(out) :: ierror
    end subroutine
    subroutine MPI_Type_indexed(count, blocklengths, displs, oldtype, newtype, ierror)
      integer, intent(in) :: count, blocklengths(*), displs(*), oldtype
      integer, intent(out) :: newtype
      integer, intent(out) :: ierror
    end subroutine
    subroutine MPI_Type_create_hindexed(count, blocklengths, displs, oldtype, newtype, ierror)
      integer, intent(in) :: count, blocklengths(*), oldtype
      integer(8), intent(in) :: displs(*)
      integer, intent(out) :: newtype
      integer, intent(out) :: ierror
    end subroutine
    subroutine MPI_Type_create_struct(count, blocklengths, displs, types, newtype, ierror)
      integer, intent(in) :: count, blocklengths(*), types(*)
      integer(8), intent(in) :: displs(*)
      integer, intent(out) :: newtype
      integer, intent(out) :: ierror
    end subroutine
    subroutine MPI_Type_create_subarray(ndims, sizes, subsizes, starts, order, oldtype, newtype, &
          ierror)
      integer, intent(in) :: ndims, sizes(*), subsizes(*), starts(*), order, oldtype
      integer, intent(out) :: newtype
      integer, intent(out) :: ierror
    end subroutine
    subroutine MPI_Type_create_resized(oldtype, lb, extent, newtype, ierror)
      integer, intent(in) :: oldtype
      integer(8), intent(in) :: lb, extent
      integer, intent(out) :: newtype
      integer, intent(out) :: ierror
    end subroutine
    subroutine MPI_Type_dup(oldtype, newtype, ierror)
      integer, intent(in) :: oldtype
      integer, intent(out) :: newtype
      integer, intent(out) :: ierror
    end subroutine
    subroutine MPI_Type_commit(datatype, ierror)
      integer, intent(inout) :: datatype
      integer, intent(out) :: ierror
    end subroutine
    subroutine MPI_Type_free(datatype, ierror)
      integer, intent(inout) :: datatype
      integer, intent(out) :: ierror
    end subroutine
  end interface
end module
