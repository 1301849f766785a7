/* tutti.h: message passing between the ranks of one parallel program, for C and for languages
 * that call C. It is the C face of libtutti.so; programs written for MPI use mpi.h beside it.
 *
 * A rank is one process of a job started by `tutti run`, by a cluster, or by an MPI launcher; a
 * program started alone is a world of one. All handles are numbers, 0 is the null handle. Counts
 * are 64-bit and in elements; displacements too. Ranks and tags are int.
 *
 * Every function returns TUTTI_SUCCESS or one of the codes below. What went wrong, where and what
 * to do about it is kept for the calling thread: see tutti_error_last. Outputs are written only
 * on success unless said otherwise. Any function may be called from any thread at any time, except
 * that all ranks of a communicator must make its collective calls in the same order.
 *
 * A buffer given to a non-blocking call belongs to it until the request is done.
 *
 * After a fork the child's calls return TUTTI_ERR_FORKED: the runtime behind this library does
 * not survive fork. Start processes with spawn or exec.
 *
 * The library installs handlers for the signals that mean a fault (SIGSEGV, SIGBUS, SIGFPE) and passes them on
 * where the fault is not its own; others, such as SIGINT, it leaves alone. A signal handler
 * that the program installs after loading the library must have SA_ONSTACK.
 */
#ifndef TUTTI_H
#define TUTTI_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The version of this interface. It grows; a function once here keeps its signature. */
#define TUTTI_INTERFACE 1

typedef int32_t tutti_comm;    /* a communicator */
typedef int32_t tutti_group;   /* an ordered set of ranks without messages */
typedef int32_t tutti_request; /* an operation under way */
typedef int32_t tutti_message; /* a message that a probe has set aside */
typedef int32_t tutti_type;    /* the type of elements */
typedef int32_t tutti_op;      /* a reduction */
typedef int32_t tutti_win;     /* memory that several ranks have mapped */

/* --- Constants ------------------------------------------------------------------------------ */

#define TUTTI_COMM_NULL 0
#define TUTTI_COMM_WORLD 1 /* all ranks, between tutti_mpi_init and tutti_mpi_finalize */
#define TUTTI_COMM_SELF 2  /* this rank alone */
#define TUTTI_GROUP_NULL 0
#define TUTTI_GROUP_EMPTY 1
#define TUTTI_REQUEST_NULL 0
#define TUTTI_REQUEST_DONE 1 /* of a send that was done before it could be waited for */
#define TUTTI_MESSAGE_NULL 0
#define TUTTI_MESSAGE_NO_PROC 1 /* what a probe of TUTTI_PROC_NULL finds */
#define TUTTI_OP_NULL 0
#define TUTTI_WIN_NULL 0

#define TUTTI_ANY_SOURCE (-1)
#define TUTTI_PROC_NULL (-2) /* nobody: sends and receives do nothing at once */
#define TUTTI_ANY_TAG (-31)
#define TUTTI_UNDEFINED (-32766)

/* In place of a send buffer (scatter: of the receive buffer): the data lie where the result goes. */
#define TUTTI_IN_PLACE ((void *)(intptr_t)-1)

/* Types of elements: sizes 1, 2, 4, 8; 1, 2, 4, 8; 4, 8; 8, 16; 1 byte; and pairs of 16 bytes:
 * a value padded to 8 bytes and an int64_t index, for TUTTI_MINLOC and TUTTI_MAXLOC. */
#define TUTTI_INT8 1
#define TUTTI_INT16 2
#define TUTTI_INT32 3
#define TUTTI_INT64 4
#define TUTTI_UINT8 5
#define TUTTI_UINT16 6
#define TUTTI_UINT32 7
#define TUTTI_UINT64 8
#define TUTTI_FLOAT32 9
#define TUTTI_FLOAT64 10
#define TUTTI_COMPLEX64 11
#define TUTTI_COMPLEX128 12
#define TUTTI_BOOL 13
#define TUTTI_LOC_INT32 14
#define TUTTI_LOC_INT64 15
#define TUTTI_LOC_FLOAT32 16
#define TUTTI_LOC_FLOAT64 17
#define TUTTI_BYTE TUTTI_UINT8

/* Reductions. Logical ones take a number that is not zero as true and give 0 or 1. Of equal
 * values TUTTI_MINLOC and TUTTI_MAXLOC take the lowest index. */
#define TUTTI_SUM 1
#define TUTTI_PROD 2
#define TUTTI_MAX 3
#define TUTTI_MIN 4
#define TUTTI_LAND 5
#define TUTTI_LOR 6
#define TUTTI_LXOR 7
#define TUTTI_BAND 8
#define TUTTI_BOR 9
#define TUTTI_BXOR 10
#define TUTTI_MINLOC 11
#define TUTTI_MAXLOC 12

/* Codes. Those below 64 have the numbers of MPI's error classes. */
#define TUTTI_SUCCESS 0
#define TUTTI_ERR_BUFFER 1
#define TUTTI_ERR_COUNT 2
#define TUTTI_ERR_TYPE 3
#define TUTTI_ERR_TAG 4
#define TUTTI_ERR_COMM 5
#define TUTTI_ERR_RANK 6
#define TUTTI_ERR_REQUEST 7
#define TUTTI_ERR_ROOT 8
#define TUTTI_ERR_GROUP 9
#define TUTTI_ERR_OP 10
#define TUTTI_ERR_TOPOLOGY 11
#define TUTTI_ERR_DIMS 12
#define TUTTI_ERR_ARG 13
#define TUTTI_ERR_UNKNOWN 14
#define TUTTI_ERR_TRUNCATE 15 /* the message was longer than the buffer, which has its beginning */
#define TUTTI_ERR_OTHER 16
#define TUTTI_ERR_INTERN 17
#define TUTTI_PENDING 18 /* of a try: not yet; nothing has been done. No error is kept */
#define TUTTI_ERR_IN_STATUS 19
#define TUTTI_ERR_WIN 45
#define TUTTI_ERR_REVOKED 64 /* a peer failed, or somebody revoked the communicator */
#define TUTTI_ERR_CLOSED 65  /* freed, left or finalized before; or not initialized yet */
#define TUTTI_ERR_CANCELED 66
#define TUTTI_ERR_FULL 67 /* no shared memory left */
#define TUTTI_ERR_UNSUPPORTED 68
#define TUTTI_ERR_DENIED 69
#define TUTTI_ERR_EXISTS 70 /* join: that rank is taken */
#define TUTTI_ERR_NOT_FOUND 71
#define TUTTI_ERR_VERSION 72
#define TUTTI_ERR_LOST 73
#define TUTTI_ERR_FORKED 74 /* called in a child after fork */

/* What was received, or found by a probe. The layout is fixed. */
typedef struct {
    int32_t source; /* rank in the communicator; TUTTI_PROC_NULL of nobody */
    int32_t tag;
    int32_t error;     /* a code; set by the calls that complete several requests */
    int32_t cancelled; /* 1: the receive was taken back by tutti_mpi_cancel */
    int64_t bytes;     /* length of the message */
    int64_t reserved;
} tutti_status;

/* Wherever a status is asked for, NULL says that nobody wants it. */

/* An error in full. Texts are UTF-8, cut where they are too long, and end with a zero byte. */
typedef struct {
    int32_t code;   /* TUTTI_ERR_... */
    int32_t rank;   /* the rank that made the call, in the communicator; -1 if unknown */
    int32_t peer;   /* the rank on the other side, or the root; -1 if there is none or it may be any */
    int32_t tag;    /* -1 if there is none or it may be any */
    char op[32];    /* "Send", "Allreduce" */
    char kind[32];  /* "invalid", "truncated", "revoked": the kinds of tutti's errors */
    char comm[96];  /* the communicator's name */
    char hint[256]; /* what a person can do about it; "" if nothing */
    char text[768]; /* one line: where, what, why; without the hint */
} tutti_error;

/* --- Errors --------------------------------------------------------------------------------- */

/* The last error of the calling thread, and its line of text ("" if there was none). The pointers
 * stay valid; what they point to changes with the thread's next error. */
const tutti_error *tutti_error_last(void);
const char *tutti_error_text(void);
/* A few words for a code: "rank that does not exist". Never NULL. */
const char *tutti_error_class(int code);
/* The version of the library: "0.3.0". */
const char *tutti_version(void);

/* Called with every error of a call on the communicator, on the thread of that call, before it returns. */
typedef void (*tutti_error_handler)(tutti_comm comm, const tutti_error *e, void *context);
/* Sets the handler; NULL: errors are returned and that is all, which is the default. Communicators
 * made of this one later inherit it. tutti_errors_are_fatal ends the job with tutti_mpi_abort. */
int tutti_mpi_set_error_handler(tutti_comm comm, tutti_error_handler f, void *context);
void tutti_errors_are_fatal(tutti_comm comm, const tutti_error *e, void *context);

/* --- Worlds --------------------------------------------------------------------------------- */

/* Joins the world in which this process was started, or makes a world of one: TUTTI_COMM_WORLD.
 * Both arguments may be NULL and are not changed. A second call does nothing. Where SIGUSR1 has its default action
 * the process prints who waits for whom when it gets one. */
int tutti_mpi_init(int *argc, char ***argv);
/* Leaves it. A rank that ends without it has failed, as far as its launcher is concerned. */
int tutti_mpi_finalize(void);
int tutti_mpi_initialized(int *flag); /* init has been called */
int tutti_mpi_finalized(int *flag);   /* finalize has been called */
/* Ends the job: the calls of all ranks fail, and where ranks are processes of init this one
 * exits with the code, upon which the launcher ends the others. reason may be NULL. */
int tutti_mpi_abort(tutti_comm comm, int code, const char *reason);

/* Makes this process rank `rank` of `size` of a world that somebody else has arranged: by the path of its memory, or
 * where path is NULL by a descriptor, which stays the caller's. Does not wait for the others. A rank
 * that dies revokes the world. A process may have several worlds, at a time and one after the other. */
int tutti_mpi_join(const char *path, int fd, int rank, int size, tutti_comm *comm);
/* Leaves a joined world: comm is what join gave. Its other communicators become invalid. */
int tutti_mpi_leave(tutti_comm *comm);
/* Makes the memory of a new world, to be given to each of its ranks: a descriptor with close-on-exec. */
int tutti_mpi_new_segment(int *fd);
/* Tells all ranks of comm's world that one of its ranks, by its number in the world, has died. */
int tutti_mpi_lost(tutti_comm comm, int rank);
/* Makes the pending and all later calls of all ranks on comm return TUTTI_ERR_REVOKED. One rank is enough. */
int tutti_mpi_revoke(tutti_comm comm);
/* Gives calls that wait something to ask a few times a second, on their own thread; it must not call this
 * library. Where it returns not 0 the call gives up with TUTTI_ERR_CANCELED, and so does, if it was a
 * collective one, every later call on its communicator. NULL asks nothing. For interpreters, which have to
 * look for signals; calls that a foreign MPI library carries out do not ask. */
typedef int (*tutti_meanwhile)(void);
int tutti_mpi_set_meanwhile(tutti_meanwhile f);
/* Writes who waits for what, a line for each rank of comm's world, ended by a zero byte. */
int tutti_mpi_waiting(tutti_comm comm, char *text, int64_t room);

double tutti_mpi_wtime(void); /* seconds of a clock that all processes of a machine share */
double tutti_mpi_wtick(void); /* its resolution in seconds */
int tutti_mpi_processor_name(char *name, int64_t room);

/* --- Communicators and groups --------------------------------------------------------------- */

int tutti_mpi_comm_rank(tutti_comm comm, int *rank);
int tutti_mpi_comm_size(tutti_comm comm, int *size);
int tutti_mpi_comm_dup(tutti_comm comm, tutti_comm *dup);
/* A rank whose color is TUTTI_UNDEFINED gets TUTTI_COMM_NULL. */
int tutti_mpi_comm_split(tutti_comm comm, int color, int key, tutti_comm *part);
/* One communicator for each set of ranks that share memory. */
int tutti_mpi_comm_split_shared(tutti_comm comm, int key, tutti_comm *part);
/* The ranks of the group, in its order; others get TUTTI_COMM_NULL. All ranks of comm call it. */
int tutti_mpi_comm_create(tutti_comm comm, tutti_group group, tutti_comm *made);
/* Gives it up and sets it to TUTTI_COMM_NULL. What is under way on it fails. */
int tutti_mpi_comm_free(tutti_comm *comm);
int tutti_mpi_comm_set_name(tutti_comm comm, const char *name);
int tutti_mpi_comm_get_name(tutti_comm comm, char *name, int64_t room);
/* 0 the same communicator, 1 same ranks in the same order, 2 same ranks, 3 otherwise. */
int tutti_mpi_comm_compare(tutti_comm a, tutti_comm b, int *result);
int tutti_mpi_tag_ub(tutti_comm comm, int64_t *highest); /* the highest tag there can be */

int tutti_mpi_comm_group(tutti_comm comm, tutti_group *group);
int tutti_mpi_group_size(tutti_group group, int *size);
int tutti_mpi_group_rank(tutti_group group, int *rank); /* TUTTI_UNDEFINED if not in it */
int tutti_mpi_group_incl(tutti_group group, int n, const int *ranks, tutti_group *made);
int tutti_mpi_group_excl(tutti_group group, int n, const int *ranks, tutti_group *made);
int tutti_mpi_group_union(tutti_group a, tutti_group b, tutti_group *made);
int tutti_mpi_group_intersection(tutti_group a, tutti_group b, tutti_group *made);
int tutti_mpi_group_difference(tutti_group a, tutti_group b, tutti_group *made);
/* 0 same ranks in the same order, 2 same ranks, 3 otherwise. */
int tutti_mpi_group_compare(tutti_group a, tutti_group b, int *result);
int tutti_mpi_group_translate(tutti_group a, int n, const int *ranks, tutti_group b, int *out);
int tutti_mpi_group_free(tutti_group *group);

/* --- Grids ---------------------------------------------------------------------------------- */

/* Divides n ranks over dimensions as evenly as possible; entries that are not 0 are kept. */
int tutti_mpi_dims_create(int n, int ndims, int *dims);
/* A communicator whose ranks lie on a grid, the last coordinate varying fastest. periodic may be
 * NULL: nowhere. Ranks beyond the grid get TUTTI_COMM_NULL. */
int tutti_mpi_cart_create(tutti_comm comm, int ndims, const int *dims, const int *periodic, tutti_comm *grid);
int tutti_mpi_cart_dim(tutti_comm grid, int *ndims); /* TUTTI_ERR_TOPOLOGY if it is no grid */
/* The grid and this rank's place; each of the arrays has room for ndims or is NULL. */
int tutti_mpi_cart_get(tutti_comm grid, int ndims, int *dims, int *periodic, int *coords);
int tutti_mpi_cart_coords(tutti_comm grid, int rank, int ndims, int *coords);
int tutti_mpi_cart_rank(tutti_comm grid, const int *coords, int *rank);
int tutti_mpi_cart_shift(tutti_comm grid, int direction, int disp, int *from, int *to);
int tutti_mpi_cart_sub(tutti_comm grid, const int *keep, tutti_comm *sub);

/* --- Messages from one rank to another -------------------------------------------------------- */

/* send returns when the buffer may be used again: at once for short messages, when the receive
 * has begun for long ones. ssend returns when the receive has begun. */
int tutti_mpi_send(const void *buf, int64_t count, tutti_type type, int to, int tag, tutti_comm comm);
int tutti_mpi_ssend(const void *buf, int64_t count, tutti_type type, int to, int tag, tutti_comm comm);
/* The buffer may be longer than the message. */
int tutti_mpi_recv(void *buf, int64_t count, tutti_type type, int from, int tag, tutti_comm comm, tutti_status *status);
int tutti_mpi_sendrecv(const void *out, int64_t out_count, tutti_type out_type, int to, int out_tag,
                       void *in, int64_t in_count, tutti_type in_type, int from, int in_tag,
                       tutti_comm comm, tutti_status *status);
int tutti_mpi_sendrecv_replace(void *buf, int64_t count, tutti_type type, int to, int out_tag, int from, int in_tag,
                               tutti_comm comm, tutti_status *status);
/* The number of elements in a message; TUTTI_UNDEFINED if its length is not a multiple. */
int tutti_mpi_get_count(const tutti_status *status, tutti_type type, int64_t *count);

int tutti_mpi_probe(int from, int tag, tutti_comm comm, tutti_status *status);
int tutti_mpi_iprobe(int from, int tag, tutti_comm comm, int *flag, tutti_status *status);
/* A probe that takes the message out of matching; only mrecv gets it then, once, and sets the
 * handle to TUTTI_MESSAGE_NULL. */
int tutti_mpi_mprobe(int from, int tag, tutti_comm comm, tutti_message *message, tutti_status *status);
int tutti_mpi_improbe(int from, int tag, tutti_comm comm, int *flag, tutti_message *message, tutti_status *status);
int tutti_mpi_mrecv(void *buf, int64_t count, tutti_type type, tutti_message *message, tutti_status *status);

/* Receives a message whose length nobody knows beforehand: calls alloc with its length in bytes
 * and receives into what that returns. NULL gives the message up and makes the call return
 * TUTTI_ERR_BUFFER. alloc may be called again with another length; only the last result counts.
 * It is called on the caller's thread and without a lock, but must not call this library. */
typedef void *(*tutti_alloc)(void *context, int64_t bytes);
int tutti_mpi_recv_alloc(tutti_alloc alloc, void *context, int from, int tag, tutti_comm comm, tutti_status *status);

/* Tries never sleep and never enter the runtime behind this library, so that a caller may hold a
 * lock of its own, such as an interpreter's. They do what the call without try_ does, or return TUTTI_PENDING:
 * then nothing has been done, and the call without try_ must be made. spins says how many times a
 * receive looks before it gives up (1 is about 2 ns; 0: as often as pays on this machine). */
int tutti_mpi_try_send(const void *buf, int64_t count, tutti_type type, int to, int tag, tutti_comm comm);
int tutti_mpi_try_recv(void *buf, int64_t count, tutti_type type, int from, int tag, tutti_comm comm,
                       tutti_status *status, int spins);
int tutti_mpi_try_recv_alloc(tutti_alloc alloc, void *context, int from, int tag, tutti_comm comm,
                             tutti_status *status, int spins);

/* --- Operations under way ------------------------------------------------------------------- */

int tutti_mpi_isend(const void *buf, int64_t count, tutti_type type, int to, int tag, tutti_comm comm, tutti_request *request);
int tutti_mpi_issend(const void *buf, int64_t count, tutti_type type, int to, int tag, tutti_comm comm, tutti_request *request);
int tutti_mpi_irecv(void *buf, int64_t count, tutti_type type, int from, int tag, tutti_comm comm, tutti_request *request);

/* A request that is done is set to TUTTI_REQUEST_NULL. Null requests are done at once; their
 * status is empty: source TUTTI_ANY_SOURCE, tag TUTTI_ANY_TAG, 0 bytes. The error of the operation
 * is what these calls return; where there are several, TUTTI_ERR_IN_STATUS, and each status tells its own. */
int tutti_mpi_wait(tutti_request *request, tutti_status *status);
int tutti_mpi_test(tutti_request *request, int *flag, tutti_status *status);
int tutti_mpi_wait_all(int n, tutti_request *requests, tutti_status *statuses);
int tutti_mpi_test_all(int n, tutti_request *requests, int *flag, tutti_status *statuses);
/* The index is TUTTI_UNDEFINED where all requests are null. */
int tutti_mpi_wait_any(int n, tutti_request *requests, int *index, tutti_status *status);
int tutti_mpi_test_any(int n, tutti_request *requests, int *index, int *flag, tutti_status *status);
/* indices and statuses have room for n; done is how many there are, TUTTI_UNDEFINED where all
 * requests are null. */
int tutti_mpi_wait_some(int n, tutti_request *requests, int *done, int *indices, tutti_status *statuses);
int tutti_mpi_test_some(int n, tutti_request *requests, int *done, int *indices, tutti_status *statuses);
/* Takes back a receive that no message has matched yet. wait must be called all the same. */
int tutti_mpi_cancel(tutti_request *request);
/* Forgets a request: it goes on to its end, of which nobody hears. */
int tutti_mpi_request_free(tutti_request *request);
/* How the operation stands without ending it: flag and status as of test, the request stays. */
int tutti_mpi_request_status(tutti_request request, int *flag, tutti_status *status);

/* --- Collective operations ---------------------------------------------------------------------
 *
 * count is what one rank gives, or gets, as in MPI; of buffers that hold blocks of all ranks block r belongs
 * to rank r. In the v forms counts and displacements are arrays of one entry for each rank;
 * displacements NULL: blocks lie one behind the other. What only the root uses may be NULL elsewhere. */

int tutti_mpi_barrier(tutti_comm comm);
int tutti_mpi_bcast(void *buf, int64_t count, tutti_type type, int root, tutti_comm comm);
int tutti_mpi_reduce(const void *send, void *recv, int64_t count, tutti_type type, tutti_op op, int root, tutti_comm comm);
int tutti_mpi_allreduce(const void *send, void *recv, int64_t count, tutti_type type, tutti_op op, tutti_comm comm);
int tutti_mpi_scan(const void *send, void *recv, int64_t count, tutti_type type, tutti_op op, tutti_comm comm);
int tutti_mpi_exscan(const void *send, void *recv, int64_t count, tutti_type type, tutti_op op, tutti_comm comm);
/* recv gets counts[rank] elements; send has the sum of all counts. In place: the data lie in recv. */
int tutti_mpi_reduce_scatter(const void *send, void *recv, const int64_t *counts, tutti_type type, tutti_op op, tutti_comm comm);
int tutti_mpi_reduce_scatter_block(const void *send, void *recv, int64_t count, tutti_type type, tutti_op op, tutti_comm comm);
int tutti_mpi_gather(const void *send, void *recv, int64_t count, tutti_type type, int root, tutti_comm comm);
int tutti_mpi_gatherv(const void *send, int64_t count, void *recv, const int64_t *counts, const int64_t *displs,
                      tutti_type type, int root, tutti_comm comm);
int tutti_mpi_scatter(const void *send, void *recv, int64_t count, tutti_type type, int root, tutti_comm comm);
int tutti_mpi_scatterv(const void *send, const int64_t *counts, const int64_t *displs, void *recv, int64_t count,
                       tutti_type type, int root, tutti_comm comm);
int tutti_mpi_allgather(const void *send, void *recv, int64_t count, tutti_type type, tutti_comm comm);
int tutti_mpi_allgatherv(const void *send, int64_t count, void *recv, const int64_t *counts, const int64_t *displs,
                         tutti_type type, tutti_comm comm);
int tutti_mpi_alltoall(const void *send, void *recv, int64_t count, tutti_type type, tutti_comm comm);
int tutti_mpi_alltoallv(const void *send, const int64_t *send_counts, const int64_t *send_displs,
                        void *recv, const int64_t *recv_counts, const int64_t *recv_displs, tutti_type type, tutti_comm comm);

int tutti_mpi_ibarrier(tutti_comm comm, tutti_request *request);
int tutti_mpi_ibcast(void *buf, int64_t count, tutti_type type, int root, tutti_comm comm, tutti_request *request);
int tutti_mpi_ireduce(const void *send, void *recv, int64_t count, tutti_type type, tutti_op op, int root, tutti_comm comm,
                      tutti_request *request);
int tutti_mpi_iallreduce(const void *send, void *recv, int64_t count, tutti_type type, tutti_op op, tutti_comm comm,
                         tutti_request *request);
int tutti_mpi_iscan(const void *send, void *recv, int64_t count, tutti_type type, tutti_op op, tutti_comm comm,
                    tutti_request *request);
int tutti_mpi_iexscan(const void *send, void *recv, int64_t count, tutti_type type, tutti_op op, tutti_comm comm,
                      tutti_request *request);
int tutti_mpi_ireduce_scatter(const void *send, void *recv, const int64_t *counts, tutti_type type, tutti_op op,
                              tutti_comm comm, tutti_request *request);
int tutti_mpi_ireduce_scatter_block(const void *send, void *recv, int64_t count, tutti_type type, tutti_op op,
                                    tutti_comm comm, tutti_request *request);
int tutti_mpi_igather(const void *send, void *recv, int64_t count, tutti_type type, int root, tutti_comm comm,
                      tutti_request *request);
int tutti_mpi_igatherv(const void *send, int64_t count, void *recv, const int64_t *counts, const int64_t *displs,
                       tutti_type type, int root, tutti_comm comm, tutti_request *request);
int tutti_mpi_iscatter(const void *send, void *recv, int64_t count, tutti_type type, int root, tutti_comm comm,
                       tutti_request *request);
int tutti_mpi_iscatterv(const void *send, const int64_t *counts, const int64_t *displs, void *recv, int64_t count,
                        tutti_type type, int root, tutti_comm comm, tutti_request *request);
int tutti_mpi_iallgather(const void *send, void *recv, int64_t count, tutti_type type, tutti_comm comm, tutti_request *request);
int tutti_mpi_iallgatherv(const void *send, int64_t count, void *recv, const int64_t *counts, const int64_t *displs,
                          tutti_type type, tutti_comm comm, tutti_request *request);
int tutti_mpi_ialltoall(const void *send, void *recv, int64_t count, tutti_type type, tutti_comm comm, tutti_request *request);
int tutti_mpi_ialltoallv(const void *send, const int64_t *send_counts, const int64_t *send_displs,
                         void *recv, const int64_t *recv_counts, const int64_t *recv_displs, tutti_type type,
                         tutti_comm comm, tutti_request *request);

/* --- Types and reductions -------------------------------------------------------------------- */

int tutti_mpi_type_size(tutti_type type, int *bytes);

/* inout[i] = in[i] op inout[i] for count elements, `in` coming from lower ranks. It is called on
 * the threads of collective calls and of those that complete them, and must not call this library. */
typedef void (*tutti_op_function)(const void *in, void *inout, int64_t count, tutti_type type, void *context);
/* The operation must be associative; with commutes its arguments may come in any order. */
int tutti_mpi_op_create(tutti_op_function f, int commutes, void *context, tutti_op *op);
int tutti_mpi_op_free(tutti_op *op);

/* --- Memory in common ------------------------------------------------------------------------ */

/* All ranks of comm, which must share memory, offer bytes (0 or more), zero at first and aligned to 64 bytes;
 * base is this rank's part. Who writes what others read orders it by sync, messages or atomics. */
int tutti_mpi_win_allocate_shared(int64_t bytes, tutti_comm comm, tutti_win *win, void **base);
int tutti_mpi_win_query(tutti_win win, int rank, int64_t *bytes, void **base);
int tutti_mpi_win_sync(tutti_win win);  /* a barrier: what was written before is seen after */
int tutti_mpi_win_free(tutti_win *win); /* collective; sets it to TUTTI_WIN_NULL */

#ifdef __cplusplus
}
#endif

#endif
