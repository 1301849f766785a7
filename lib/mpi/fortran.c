/* fortran.c: the routines of mpif.h and of module mpi, for compilers that put an underscore behind
 * a name and hand lengths of texts over at the end, as gfortran does. Each calls its namesake in C:
 * handles are the same numbers in both languages; logicals are 0 and 1. */
#include <stdlib.h>
#include <string.h>

#include "layer.h"

/* The places by which the library knows MPI_IN_PLACE and the like. They are common blocks, so that the
 * program and this library mean the same memory. */
PUBLIC int mpi_tutti_bottom_, mpi_tutti_in_place_;
PUBLIC int mpi_tutti_status_[8], mpi_tutti_statuses_[8];

/* IN is the address of a buffer, as C has it. */
static void *IN(void *p) {
    if (p == &mpi_tutti_in_place_) return MPI_IN_PLACE;
    return p == &mpi_tutti_bottom_ ? MPI_BOTTOM : p;
}

/* A status of Fortran is an array of integers, and need not be aligned for more. */
static void give(int *to, const MPI_Status *st) {
    if (to != mpi_tutti_status_) memcpy(to, st, sizeof *st);
}
static MPI_Status taken(const int *from) {
    MPI_Status st;
    memcpy(&st, from, sizeof st);
    return st;
}
static MPI_Status *statuses_of(int *p) { return p == mpi_tutti_statuses_ ? MPI_STATUSES_IGNORE : (MPI_Status *)(void *)p; }

/* A text of Fortran is filled with blanks. */
static void blank(char *to, size_t room, const char *text) {
    size_t n = strlen(text);
    if (n > room) n = room;
    memcpy(to, text, n);
    memset(to + n, ' ', room - n);
}

PUBLIC double mpi_wtime_(void) { return MPI_Wtime(); }
PUBLIC double mpi_wtick_(void) { return MPI_Wtick(); }
PUBLIC void mpi_get_processor_name_(char *name, int *length, int *ierror, size_t room) {
    char text[MPI_MAX_PROCESSOR_NAME];
    *ierror = MPI_Get_processor_name(text, length);
    blank(name, room, text);
}
PUBLIC void mpi_get_library_version_(char *version, int *length, int *ierror, size_t room) {
    char text[MPI_MAX_LIBRARY_VERSION_STRING];
    *ierror = MPI_Get_library_version(text, length);
    blank(version, room, text);
}
PUBLIC void mpi_error_string_(const int *code, char *string, int *length, int *ierror, size_t room) {
    char text[MPI_MAX_ERROR_STRING];
    *ierror = MPI_Error_string(*code, text, length);
    blank(string, room, text);
}
PUBLIC void mpi_comm_set_name_(const int *comm, const char *name, int *ierror, size_t length) {
    char text[MPI_MAX_OBJECT_NAME] = "";
    while (length > 0 && name[length - 1] == ' ') length--;
    memcpy(text, name, length < sizeof text ? length : sizeof text - 1);
    *ierror = MPI_Comm_set_name(*comm, text);
}
PUBLIC void mpi_comm_get_name_(const int *comm, char *name, int *length, int *ierror, size_t room) {
    char text[MPI_MAX_OBJECT_NAME] = "";
    *ierror = MPI_Comm_get_name(*comm, text, length);
    blank(name, room, text);
}
PUBLIC void mpi_comm_get_attr_(const int *comm, const int *key, MPI_Aint *value, int *flag, int *ierror) {
    int *at;
    *ierror = MPI_Comm_get_attr(*comm, *key, &at, flag);
    if (*ierror == MPI_SUCCESS && *flag) *value = *at;
}
PUBLIC void mpi_op_create_(MPI_User_function *f, const int *commutes, int *op, int *ierror) {
    *ierror = MPI_Op_create(f, *commutes, op);
}
PUBLIC void mpi_get_address_(void *location, MPI_Aint *address, int *ierror) {
    *ierror = MPI_Get_address(location, address);
}

PUBLIC void mpi_init_(int *ierror) {
    *ierror = MPI_Init(NULL, NULL);
}
PUBLIC void mpi_init_thread_(const int *required, int *provided, int *ierror) {
    *ierror = MPI_Init_thread(NULL, NULL, *required, provided);
}
PUBLIC void mpi_initialized_(int *flag, int *ierror) {
    *ierror = MPI_Initialized(flag);
}
PUBLIC void mpi_finalize_(int *ierror) {
    *ierror = MPI_Finalize();
}
PUBLIC void mpi_finalized_(int *flag, int *ierror) {
    *ierror = MPI_Finalized(flag);
}
PUBLIC void mpi_query_thread_(int *provided, int *ierror) {
    *ierror = MPI_Query_thread(provided);
}
PUBLIC void mpi_abort_(const int *comm, const int *errorcode, int *ierror) {
    *ierror = MPI_Abort(*comm, *errorcode);
}
PUBLIC void mpi_error_class_(const int *errorcode, int *errorclass, int *ierror) {
    *ierror = MPI_Error_class(*errorcode, errorclass);
}
PUBLIC void mpi_get_version_(int *version, int *subversion, int *ierror) {
    *ierror = MPI_Get_version(version, subversion);
}
PUBLIC void mpi_comm_set_errhandler_(const int *comm, const int *errhandler, int *ierror) {
    *ierror = MPI_Comm_set_errhandler(*comm, *errhandler);
}
PUBLIC void mpi_comm_get_errhandler_(const int *comm, int *errhandler, int *ierror) {
    *ierror = MPI_Comm_get_errhandler(*comm, errhandler);
}
PUBLIC void mpi_errhandler_free_(int *errhandler, int *ierror) {
    *ierror = MPI_Errhandler_free(errhandler);
}
PUBLIC void mpi_comm_rank_(const int *comm, int *rank, int *ierror) {
    *ierror = MPI_Comm_rank(*comm, rank);
}
PUBLIC void mpi_comm_size_(const int *comm, int *size, int *ierror) {
    *ierror = MPI_Comm_size(*comm, size);
}
PUBLIC void mpi_comm_dup_(const int *comm, int *newcomm, int *ierror) {
    *ierror = MPI_Comm_dup(*comm, newcomm);
}
PUBLIC void mpi_comm_split_(const int *comm, const int *color, const int *key, int *newcomm, int *ierror) {
    *ierror = MPI_Comm_split(*comm, *color, *key, newcomm);
}
PUBLIC void mpi_comm_split_type_(const int *comm, const int *split_type, const int *key, const int *info, int *newcomm,
        int *ierror) {
    *ierror = MPI_Comm_split_type(*comm, *split_type, *key, *info, newcomm);
}
PUBLIC void mpi_comm_create_(const int *comm, const int *group, int *newcomm, int *ierror) {
    *ierror = MPI_Comm_create(*comm, *group, newcomm);
}
PUBLIC void mpi_comm_free_(int *comm, int *ierror) {
    *ierror = MPI_Comm_free(comm);
}
PUBLIC void mpi_comm_compare_(const int *comm1, const int *comm2, int *result, int *ierror) {
    *ierror = MPI_Comm_compare(*comm1, *comm2, result);
}
PUBLIC void mpi_comm_group_(const int *comm, int *group, int *ierror) {
    *ierror = MPI_Comm_group(*comm, group);
}
PUBLIC void mpi_comm_test_inter_(const int *comm, int *flag, int *ierror) {
    *ierror = MPI_Comm_test_inter(*comm, flag);
}
PUBLIC void mpi_group_size_(const int *group, int *size, int *ierror) {
    *ierror = MPI_Group_size(*group, size);
}
PUBLIC void mpi_group_rank_(const int *group, int *rank, int *ierror) {
    *ierror = MPI_Group_rank(*group, rank);
}
PUBLIC void mpi_group_incl_(const int *group, const int *n, const int *ranks, int *newgroup, int *ierror) {
    *ierror = MPI_Group_incl(*group, *n, ranks, newgroup);
}
PUBLIC void mpi_group_excl_(const int *group, const int *n, const int *ranks, int *newgroup, int *ierror) {
    *ierror = MPI_Group_excl(*group, *n, ranks, newgroup);
}
PUBLIC void mpi_group_union_(const int *group1, const int *group2, int *newgroup, int *ierror) {
    *ierror = MPI_Group_union(*group1, *group2, newgroup);
}
PUBLIC void mpi_group_intersection_(const int *group1, const int *group2, int *newgroup, int *ierror) {
    *ierror = MPI_Group_intersection(*group1, *group2, newgroup);
}
PUBLIC void mpi_group_difference_(const int *group1, const int *group2, int *newgroup, int *ierror) {
    *ierror = MPI_Group_difference(*group1, *group2, newgroup);
}
PUBLIC void mpi_group_compare_(const int *group1, const int *group2, int *result, int *ierror) {
    *ierror = MPI_Group_compare(*group1, *group2, result);
}
PUBLIC void mpi_group_translate_ranks_(const int *group1, const int *n, const int *ranks1, const int *group2, int *ranks2,
        int *ierror) {
    *ierror = MPI_Group_translate_ranks(*group1, *n, ranks1, *group2, ranks2);
}
PUBLIC void mpi_group_free_(int *group, int *ierror) {
    *ierror = MPI_Group_free(group);
}
PUBLIC void mpi_dims_create_(const int *nnodes, const int *ndims, int *dims, int *ierror) {
    *ierror = MPI_Dims_create(*nnodes, *ndims, dims);
}
PUBLIC void mpi_cart_create_(const int *comm, const int *ndims, const int *dims, const int *periods, const int *reorder,
        int *comm_cart, int *ierror) {
    *ierror = MPI_Cart_create(*comm, *ndims, dims, periods, *reorder, comm_cart);
}
PUBLIC void mpi_cartdim_get_(const int *comm, int *ndims, int *ierror) {
    *ierror = MPI_Cartdim_get(*comm, ndims);
}
PUBLIC void mpi_cart_get_(const int *comm, const int *maxdims, int *dims, int *periods, int *coords, int *ierror) {
    *ierror = MPI_Cart_get(*comm, *maxdims, dims, periods, coords);
}
PUBLIC void mpi_cart_coords_(const int *comm, const int *rank, const int *maxdims, int *coords, int *ierror) {
    *ierror = MPI_Cart_coords(*comm, *rank, *maxdims, coords);
}
PUBLIC void mpi_cart_rank_(const int *comm, const int *coords, int *rank, int *ierror) {
    *ierror = MPI_Cart_rank(*comm, coords, rank);
}
PUBLIC void mpi_cart_shift_(const int *comm, const int *direction, const int *disp, int *rank_source, int *rank_dest,
        int *ierror) {
    *ierror = MPI_Cart_shift(*comm, *direction, *disp, rank_source, rank_dest);
}
PUBLIC void mpi_cart_sub_(const int *comm, const int *remain_dims, int *newcomm, int *ierror) {
    *ierror = MPI_Cart_sub(*comm, remain_dims, newcomm);
}
PUBLIC void mpi_send_(void *buf, const int *count, const int *datatype, const int *dest, const int *tag, const int *comm,
        int *ierror) {
    *ierror = MPI_Send(IN(buf), *count, *datatype, *dest, *tag, *comm);
}
PUBLIC void mpi_ssend_(void *buf, const int *count, const int *datatype, const int *dest, const int *tag, const int *comm,
        int *ierror) {
    *ierror = MPI_Ssend(IN(buf), *count, *datatype, *dest, *tag, *comm);
}
PUBLIC void mpi_rsend_(void *buf, const int *count, const int *datatype, const int *dest, const int *tag, const int *comm,
        int *ierror) {
    *ierror = MPI_Rsend(IN(buf), *count, *datatype, *dest, *tag, *comm);
}
PUBLIC void mpi_bsend_(void *buf, const int *count, const int *datatype, const int *dest, const int *tag, const int *comm,
        int *ierror) {
    *ierror = MPI_Bsend(IN(buf), *count, *datatype, *dest, *tag, *comm);
}
PUBLIC void mpi_recv_(void *buf, const int *count, const int *datatype, const int *source, const int *tag, const int *comm,
        int *status, int *ierror) {
    MPI_Status st;
    *ierror = MPI_Recv(IN(buf), *count, *datatype, *source, *tag, *comm, &st);
    give(status, &st);
}
PUBLIC void mpi_sendrecv_(void *sendbuf, const int *sendcount, const int *sendtype, const int *dest, const int *sendtag,
        void *recvbuf, const int *recvcount, const int *recvtype, const int *source, const int *recvtag, const int *comm,
        int *status, int *ierror) {
    MPI_Status st;
    *ierror = MPI_Sendrecv(IN(sendbuf), *sendcount, *sendtype, *dest, *sendtag, IN(recvbuf), *recvcount, *recvtype, *source,
        *recvtag, *comm, &st);
    give(status, &st);
}
PUBLIC void mpi_sendrecv_replace_(void *buf, const int *count, const int *datatype, const int *dest, const int *sendtag,
        const int *source, const int *recvtag, const int *comm, int *status, int *ierror) {
    MPI_Status st;
    *ierror = MPI_Sendrecv_replace(IN(buf), *count, *datatype, *dest, *sendtag, *source, *recvtag, *comm, &st);
    give(status, &st);
}
PUBLIC void mpi_probe_(const int *source, const int *tag, const int *comm, int *status, int *ierror) {
    MPI_Status st;
    *ierror = MPI_Probe(*source, *tag, *comm, &st);
    give(status, &st);
}
PUBLIC void mpi_iprobe_(const int *source, const int *tag, const int *comm, int *flag, int *status, int *ierror) {
    MPI_Status st;
    *ierror = MPI_Iprobe(*source, *tag, *comm, flag, &st);
    if (*flag) give(status, &st);
}
PUBLIC void mpi_mprobe_(const int *source, const int *tag, const int *comm, int *message, int *status, int *ierror) {
    MPI_Status st;
    *ierror = MPI_Mprobe(*source, *tag, *comm, message, &st);
    give(status, &st);
}
PUBLIC void mpi_improbe_(const int *source, const int *tag, const int *comm, int *flag, int *message, int *status,
        int *ierror) {
    MPI_Status st;
    *ierror = MPI_Improbe(*source, *tag, *comm, flag, message, &st);
    if (*flag) give(status, &st);
}
PUBLIC void mpi_mrecv_(void *buf, const int *count, const int *datatype, int *message, int *status, int *ierror) {
    MPI_Status st;
    *ierror = MPI_Mrecv(IN(buf), *count, *datatype, message, &st);
    give(status, &st);
}
PUBLIC void mpi_get_count_(const int *status, const int *datatype, int *count, int *ierror) {
    MPI_Status st = taken(status);
    *ierror = MPI_Get_count(&st, *datatype, count);
}
PUBLIC void mpi_get_elements_(const int *status, const int *datatype, int *count, int *ierror) {
    MPI_Status st = taken(status);
    *ierror = MPI_Get_elements(&st, *datatype, count);
}
PUBLIC void mpi_isend_(void *buf, const int *count, const int *datatype, const int *dest, const int *tag, const int *comm,
        int *request, int *ierror) {
    *ierror = MPI_Isend(IN(buf), *count, *datatype, *dest, *tag, *comm, request);
}
PUBLIC void mpi_issend_(void *buf, const int *count, const int *datatype, const int *dest, const int *tag, const int *comm,
        int *request, int *ierror) {
    *ierror = MPI_Issend(IN(buf), *count, *datatype, *dest, *tag, *comm, request);
}
PUBLIC void mpi_irsend_(void *buf, const int *count, const int *datatype, const int *dest, const int *tag, const int *comm,
        int *request, int *ierror) {
    *ierror = MPI_Irsend(IN(buf), *count, *datatype, *dest, *tag, *comm, request);
}
PUBLIC void mpi_irecv_(void *buf, const int *count, const int *datatype, const int *source, const int *tag, const int *comm,
        int *request, int *ierror) {
    *ierror = MPI_Irecv(IN(buf), *count, *datatype, *source, *tag, *comm, request);
}
PUBLIC void mpi_wait_(int *request, int *status, int *ierror) {
    MPI_Status st;
    *ierror = MPI_Wait(request, &st);
    give(status, &st);
}
PUBLIC void mpi_test_(int *request, int *flag, int *status, int *ierror) {
    MPI_Status st;
    *ierror = MPI_Test(request, flag, &st);
    if (*flag) give(status, &st);
}
PUBLIC void mpi_waitall_(const int *count, int *array_of_requests, int *array_of_statuses, int *ierror) {
    *ierror = MPI_Waitall(*count, array_of_requests, statuses_of(array_of_statuses));
}
PUBLIC void mpi_testall_(const int *count, int *array_of_requests, int *flag, int *array_of_statuses, int *ierror) {
    *ierror = MPI_Testall(*count, array_of_requests, flag, statuses_of(array_of_statuses));
}
PUBLIC void mpi_waitany_(const int *count, int *array_of_requests, int *index, int *status, int *ierror) {
    MPI_Status st;
    *ierror = MPI_Waitany(*count, array_of_requests, index, &st);
    if (*index != MPI_UNDEFINED) ++*index;
    give(status, &st);
}
PUBLIC void mpi_testany_(const int *count, int *array_of_requests, int *index, int *flag, int *status, int *ierror) {
    MPI_Status st;
    *ierror = MPI_Testany(*count, array_of_requests, index, flag, &st);
    if (*index != MPI_UNDEFINED) ++*index;
    if (*flag) give(status, &st);
}
PUBLIC void mpi_waitsome_(const int *incount, int *array_of_requests, int *outcount, int *array_of_indices,
        int *array_of_statuses, int *ierror) {
    *ierror = MPI_Waitsome(*incount, array_of_requests, outcount, array_of_indices, statuses_of(array_of_statuses));
    for (int i = 0; i < *outcount; i++) array_of_indices[i]++;
}
PUBLIC void mpi_testsome_(const int *incount, int *array_of_requests, int *outcount, int *array_of_indices,
        int *array_of_statuses, int *ierror) {
    *ierror = MPI_Testsome(*incount, array_of_requests, outcount, array_of_indices, statuses_of(array_of_statuses));
    for (int i = 0; i < *outcount; i++) array_of_indices[i]++;
}
PUBLIC void mpi_cancel_(int *request, int *ierror) {
    *ierror = MPI_Cancel(request);
}
PUBLIC void mpi_test_cancelled_(const int *status, int *flag, int *ierror) {
    MPI_Status st = taken(status);
    *ierror = MPI_Test_cancelled(&st, flag);
}
PUBLIC void mpi_request_free_(int *request, int *ierror) {
    *ierror = MPI_Request_free(request);
}
PUBLIC void mpi_barrier_(const int *comm, int *ierror) {
    *ierror = MPI_Barrier(*comm);
}
PUBLIC void mpi_bcast_(void *buffer, const int *count, const int *datatype, const int *root, const int *comm, int *ierror) {
    *ierror = MPI_Bcast(IN(buffer), *count, *datatype, *root, *comm);
}
PUBLIC void mpi_reduce_(void *sendbuf, void *recvbuf, const int *count, const int *datatype, const int *op, const int *root,
        const int *comm, int *ierror) {
    *ierror = MPI_Reduce(IN(sendbuf), IN(recvbuf), *count, *datatype, *op, *root, *comm);
}
PUBLIC void mpi_allreduce_(void *sendbuf, void *recvbuf, const int *count, const int *datatype, const int *op,
        const int *comm, int *ierror) {
    *ierror = MPI_Allreduce(IN(sendbuf), IN(recvbuf), *count, *datatype, *op, *comm);
}
PUBLIC void mpi_scan_(void *sendbuf, void *recvbuf, const int *count, const int *datatype, const int *op, const int *comm,
        int *ierror) {
    *ierror = MPI_Scan(IN(sendbuf), IN(recvbuf), *count, *datatype, *op, *comm);
}
PUBLIC void mpi_exscan_(void *sendbuf, void *recvbuf, const int *count, const int *datatype, const int *op, const int *comm,
        int *ierror) {
    *ierror = MPI_Exscan(IN(sendbuf), IN(recvbuf), *count, *datatype, *op, *comm);
}
PUBLIC void mpi_reduce_scatter_(void *sendbuf, void *recvbuf, const int *recvcounts, const int *datatype, const int *op,
        const int *comm, int *ierror) {
    *ierror = MPI_Reduce_scatter(IN(sendbuf), IN(recvbuf), recvcounts, *datatype, *op, *comm);
}
PUBLIC void mpi_reduce_scatter_block_(void *sendbuf, void *recvbuf, const int *recvcount, const int *datatype,
        const int *op, const int *comm, int *ierror) {
    *ierror = MPI_Reduce_scatter_block(IN(sendbuf), IN(recvbuf), *recvcount, *datatype, *op, *comm);
}
PUBLIC void mpi_gather_(void *sendbuf, const int *sendcount, const int *sendtype, void *recvbuf, const int *recvcount,
        const int *recvtype, const int *root, const int *comm, int *ierror) {
    *ierror = MPI_Gather(IN(sendbuf), *sendcount, *sendtype, IN(recvbuf), *recvcount, *recvtype, *root, *comm);
}
PUBLIC void mpi_gatherv_(void *sendbuf, const int *sendcount, const int *sendtype, void *recvbuf, const int *recvcounts,
        const int *displs, const int *recvtype, const int *root, const int *comm, int *ierror) {
    *ierror = MPI_Gatherv(IN(sendbuf), *sendcount, *sendtype, IN(recvbuf), recvcounts, displs, *recvtype, *root, *comm);
}
PUBLIC void mpi_scatter_(void *sendbuf, const int *sendcount, const int *sendtype, void *recvbuf, const int *recvcount,
        const int *recvtype, const int *root, const int *comm, int *ierror) {
    *ierror = MPI_Scatter(IN(sendbuf), *sendcount, *sendtype, IN(recvbuf), *recvcount, *recvtype, *root, *comm);
}
PUBLIC void mpi_scatterv_(void *sendbuf, const int *sendcounts, const int *displs, const int *sendtype, void *recvbuf,
        const int *recvcount, const int *recvtype, const int *root, const int *comm, int *ierror) {
    *ierror = MPI_Scatterv(IN(sendbuf), sendcounts, displs, *sendtype, IN(recvbuf), *recvcount, *recvtype, *root, *comm);
}
PUBLIC void mpi_allgather_(void *sendbuf, const int *sendcount, const int *sendtype, void *recvbuf, const int *recvcount,
        const int *recvtype, const int *comm, int *ierror) {
    *ierror = MPI_Allgather(IN(sendbuf), *sendcount, *sendtype, IN(recvbuf), *recvcount, *recvtype, *comm);
}
PUBLIC void mpi_allgatherv_(void *sendbuf, const int *sendcount, const int *sendtype, void *recvbuf, const int *recvcounts,
        const int *displs, const int *recvtype, const int *comm, int *ierror) {
    *ierror = MPI_Allgatherv(IN(sendbuf), *sendcount, *sendtype, IN(recvbuf), recvcounts, displs, *recvtype, *comm);
}
PUBLIC void mpi_alltoall_(void *sendbuf, const int *sendcount, const int *sendtype, void *recvbuf, const int *recvcount,
        const int *recvtype, const int *comm, int *ierror) {
    *ierror = MPI_Alltoall(IN(sendbuf), *sendcount, *sendtype, IN(recvbuf), *recvcount, *recvtype, *comm);
}
PUBLIC void mpi_alltoallv_(void *sendbuf, const int *sendcounts, const int *sdispls, const int *sendtype, void *recvbuf,
        const int *recvcounts, const int *rdispls, const int *recvtype, const int *comm, int *ierror) {
    *ierror = MPI_Alltoallv(IN(sendbuf), sendcounts, sdispls, *sendtype, IN(recvbuf), recvcounts, rdispls, *recvtype, *comm);
}
PUBLIC void mpi_ibarrier_(const int *comm, int *request, int *ierror) {
    *ierror = MPI_Ibarrier(*comm, request);
}
PUBLIC void mpi_ibcast_(void *buffer, const int *count, const int *datatype, const int *root, const int *comm, int *request,
        int *ierror) {
    *ierror = MPI_Ibcast(IN(buffer), *count, *datatype, *root, *comm, request);
}
PUBLIC void mpi_ireduce_(void *sendbuf, void *recvbuf, const int *count, const int *datatype, const int *op,
        const int *root, const int *comm, int *request, int *ierror) {
    *ierror = MPI_Ireduce(IN(sendbuf), IN(recvbuf), *count, *datatype, *op, *root, *comm, request);
}
PUBLIC void mpi_iallreduce_(void *sendbuf, void *recvbuf, const int *count, const int *datatype, const int *op,
        const int *comm, int *request, int *ierror) {
    *ierror = MPI_Iallreduce(IN(sendbuf), IN(recvbuf), *count, *datatype, *op, *comm, request);
}
PUBLIC void mpi_igather_(void *sendbuf, const int *sendcount, const int *sendtype, void *recvbuf, const int *recvcount,
        const int *recvtype, const int *root, const int *comm, int *request, int *ierror) {
    *ierror = MPI_Igather(IN(sendbuf), *sendcount, *sendtype, IN(recvbuf), *recvcount, *recvtype, *root, *comm, request);
}
PUBLIC void mpi_iscatter_(void *sendbuf, const int *sendcount, const int *sendtype, void *recvbuf, const int *recvcount,
        const int *recvtype, const int *root, const int *comm, int *request, int *ierror) {
    *ierror = MPI_Iscatter(IN(sendbuf), *sendcount, *sendtype, IN(recvbuf), *recvcount, *recvtype, *root, *comm, request);
}
PUBLIC void mpi_iallgather_(void *sendbuf, const int *sendcount, const int *sendtype, void *recvbuf, const int *recvcount,
        const int *recvtype, const int *comm, int *request, int *ierror) {
    *ierror = MPI_Iallgather(IN(sendbuf), *sendcount, *sendtype, IN(recvbuf), *recvcount, *recvtype, *comm, request);
}
PUBLIC void mpi_ialltoall_(void *sendbuf, const int *sendcount, const int *sendtype, void *recvbuf, const int *recvcount,
        const int *recvtype, const int *comm, int *request, int *ierror) {
    *ierror = MPI_Ialltoall(IN(sendbuf), *sendcount, *sendtype, IN(recvbuf), *recvcount, *recvtype, *comm, request);
}
PUBLIC void mpi_op_free_(int *op, int *ierror) {
    *ierror = MPI_Op_free(op);
}
PUBLIC void mpi_type_size_(const int *datatype, int *size, int *ierror) {
    *ierror = MPI_Type_size(*datatype, size);
}
PUBLIC void mpi_type_get_extent_(const int *datatype, MPI_Aint *lb, MPI_Aint *extent, int *ierror) {
    *ierror = MPI_Type_get_extent(*datatype, lb, extent);
}
PUBLIC void mpi_type_contiguous_(const int *count, const int *oldtype, int *newtype, int *ierror) {
    *ierror = MPI_Type_contiguous(*count, *oldtype, newtype);
}
PUBLIC void mpi_type_vector_(const int *count, const int *blocklength, const int *stride, const int *oldtype, int *newtype,
        int *ierror) {
    *ierror = MPI_Type_vector(*count, *blocklength, *stride, *oldtype, newtype);
}
PUBLIC void mpi_type_create_hvector_(const int *count, const int *blocklength, const MPI_Aint *stride, const int *oldtype,
        int *newtype, int *ierror) {
    *ierror = MPI_Type_create_hvector(*count, *blocklength, *stride, *oldtype, newtype);
}
PUBLIC void mpi_type_indexed_(const int *count, const int *blocklengths, const int *displs, const int *oldtype,
        int *newtype, int *ierror) {
    *ierror = MPI_Type_indexed(*count, blocklengths, displs, *oldtype, newtype);
}
PUBLIC void mpi_type_create_hindexed_(const int *count, const int *blocklengths, const MPI_Aint *displs, const int *oldtype,
        int *newtype, int *ierror) {
    *ierror = MPI_Type_create_hindexed(*count, blocklengths, displs, *oldtype, newtype);
}
PUBLIC void mpi_type_create_struct_(const int *count, const int *blocklengths, const MPI_Aint *displs, const int *types,
        int *newtype, int *ierror) {
    *ierror = MPI_Type_create_struct(*count, blocklengths, displs, types, newtype);
}
PUBLIC void mpi_type_create_subarray_(const int *ndims, const int *sizes, const int *subsizes, const int *starts,
        const int *order, const int *oldtype, int *newtype, int *ierror) {
    *ierror = MPI_Type_create_subarray(*ndims, sizes, subsizes, starts, *order, *oldtype, newtype);
}
PUBLIC void mpi_type_create_resized_(const int *oldtype, const MPI_Aint *lb, const MPI_Aint *extent, int *newtype,
        int *ierror) {
    *ierror = MPI_Type_create_resized(*oldtype, *lb, *extent, newtype);
}
PUBLIC void mpi_type_dup_(const int *oldtype, int *newtype, int *ierror) {
    *ierror = MPI_Type_dup(*oldtype, newtype);
}
PUBLIC void mpi_type_commit_(int *datatype, int *ierror) {
    *ierror = MPI_Type_commit(datatype);
}
PUBLIC void mpi_type_free_(int *datatype, int *ierror) {
    *ierror = MPI_Type_free(datatype);
}
