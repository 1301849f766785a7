/* tutti.c: the public functions of libtutti.so. Each asks whether this process may call Go at all,
 * tries what can be done without it, calls Go, and shows an error to the communicator's handler. */
#define _GNU_SOURCE
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "_cgo_export.h"
#include "fast.h"
#include "internal.h"

#define PUBLIC __attribute__((visibility("default")))

/* --- Errors of the calling thread ------------------------------------------------------------- */

/* What is kept for a thread is allocated at its first error: processes that load this library late, such as
 * interpreters, have little room for thread-local memory. */
struct kept {
    tutti_error last;
    tutti_comm comm;
    uintptr_t f, context;
};
static _Thread_local struct kept *kept_here;
static pthread_key_t kept_key;
static struct kept nothing; /* of threads without an error, and where there is no memory */

static struct kept *kept(void) { return kept_here ? kept_here : &nothing; }

static struct kept *keep(void) {
    if (!kept_here && (kept_here = calloc(1, sizeof *kept_here))) pthread_setspecific(kept_key, kept_here);
    return kept();
}

static void unkeep(void *p) {
    free(p);
    kept_here = NULL;
}

static void put(char *to, size_t room, const char *s, size_t len) {
    if (len > room - 1) len = room - 1;
    while (len > 0 && len == room - 1 && (s[len] & 0xc0) == 0x80) len--; /* not in the middle of a character */
    memcpy(to, s, len);
    to[len] = 0;
}

void tutti_keep_error(int32_t code, int32_t rank, int32_t peer, int32_t tag, const char *op, size_t op_len,
                      const char *kind, size_t kind_len, const char *comm, size_t comm_len, const char *hint,
                      size_t hint_len, const char *text, size_t text_len) {
    tutti_error *last = &keep()->last;
    last->code = code, last->rank = rank, last->peer = peer, last->tag = tag;
    put(last->op, sizeof last->op, op, op_len);
    put(last->kind, sizeof last->kind, kind, kind_len);
    put(last->comm, sizeof last->comm, comm, comm_len);
    put(last->hint, sizeof last->hint, hint, hint_len);
    put(last->text, sizeof last->text, text, text_len);
    keep()->f = 0;
}

void tutti_keep_handler(tutti_comm comm, uintptr_t f, uintptr_t context) {
    struct kept *k = keep();
    k->comm = comm, k->f = f, k->context = context;
}

/* finish ends a call that Go has made. */
static int finish(int code) {
    if (__builtin_expect(code != TUTTI_SUCCESS, 0) && kept()->f) {
        struct kept *k = kept();
        tutti_error_handler f = (tutti_error_handler)k->f;
        k->f = 0;
        f(k->comm, &k->last, (void *)k->context);
    }
    return code;
}

PUBLIC const tutti_error *tutti_error_last(void) { return &kept()->last; }
PUBLIC const char *tutti_error_text(void) { return kept()->last.text; }

PUBLIC const char *tutti_error_class(int code) {
    static const struct {
        int code;
        const char *words;
    } classes[] = {
        {TUTTI_SUCCESS, "no error"},
        {TUTTI_ERR_BUFFER, "no buffer"},
        {TUTTI_ERR_COUNT, "count that cannot be"},
        {TUTTI_ERR_TYPE, "type that does not exist"},
        {TUTTI_ERR_TAG, "tag that cannot be"},
        {TUTTI_ERR_COMM, "no communicator"},
        {TUTTI_ERR_RANK, "rank that does not exist"},
        {TUTTI_ERR_REQUEST, "no request"},
        {TUTTI_ERR_ROOT, "root that does not exist"},
        {TUTTI_ERR_GROUP, "no group, or one that does not fit"},
        {TUTTI_ERR_OP, "operation that does not exist, or not for these elements"},
        {TUTTI_ERR_TOPOLOGY, "communicator without a grid"},
        {TUTTI_ERR_DIMS, "dimensions that cannot be"},
        {TUTTI_ERR_ARG, "argument that cannot be"},
        {TUTTI_ERR_UNKNOWN, "unknown error"},
        {TUTTI_ERR_TRUNCATE, "message longer than the buffer"},
        {TUTTI_ERR_OTHER, "error"},
        {TUTTI_ERR_INTERN, "fault of this library"},
        {TUTTI_PENDING, "not yet"},
        {TUTTI_ERR_IN_STATUS, "the statuses tell"},
        {TUTTI_ERR_WIN, "no window"},
        {TUTTI_ERR_REVOKED, "revoked: a peer failed, or somebody gave the communicator up"},
        {TUTTI_ERR_CLOSED, "not initialized, or closed before"},
        {TUTTI_ERR_CANCELED, "canceled"},
        {TUTTI_ERR_FULL, "no memory left"},
        {TUTTI_ERR_UNSUPPORTED, "not possible here"},
        {TUTTI_ERR_DENIED, "no permission"},
        {TUTTI_ERR_EXISTS, "there already"},
        {TUTTI_ERR_NOT_FOUND, "not found"},
        {TUTTI_ERR_VERSION, "versions that do not understand each other"},
        {TUTTI_ERR_LOST, "lost"},
        {TUTTI_ERR_FORKED, "called in a child after fork"},
    };
    for (size_t i = 0; i < sizeof classes / sizeof *classes; i++)
        if (classes[i].code == code) return classes[i].words;
    return "unknown error";
}

PUBLIC const char *tutti_version(void) {
    static char version[32];
    if (!version[0]) tuttigo_version(version, sizeof version);
    return version;
}

PUBLIC void tutti_errors_are_fatal(tutti_comm comm, const tutti_error *e, void *context) {
    (void)context;
    tutti_mpi_abort(comm, 1, e->text);
}

/* --- Fork ------------------------------------------------------------------------------------- */

static int forked; /* 1 in a child of the process that loaded this library */

static void in_child(void) { forked = 1; }

__attribute__((constructor)) static void loaded(void) {
    pthread_key_create(&kept_key, unkeep);
    pthread_atfork(NULL, NULL, in_child);
}

static int after_fork(const char *op) {
    static const char text[] = "this process was forked from a rank: the runtime of libtutti does not survive fork";
    static const char hint[] = "start processes with spawn (Python: multiprocessing.set_start_method(\"spawn\")) or fork and exec";
    char all[sizeof text + 64];
    int n = snprintf(all, sizeof all, "mpi: %s: %s", op, text);
    tutti_keep_error(TUTTI_ERR_FORKED, -1, -1, -1, op, strlen(op), "unsupported", 11, "", 0, hint, sizeof hint - 1, all, (size_t)n);
    return TUTTI_ERR_FORKED;
}

/* GO(op, call) makes a call into Go unless that is impossible. */
#define GO(op, call) (__builtin_expect(forked, 0) ? after_fork(op) : finish(call))

void tutti_call_op(uintptr_t f, const void *in, void *inout, int64_t count, tutti_type type, uintptr_t context) {
    ((tutti_op_function)f)(in, inout, count, type, (void *)context);
}

static _Atomic(tutti_meanwhile) meanwhile;

int tutti_call_meanwhile(void) {
    tutti_meanwhile f = meanwhile;
    return f ? f() : 0;
}

PUBLIC int tutti_mpi_set_meanwhile(tutti_meanwhile f) {
    meanwhile = f;
    return GO("SetMeanwhile", tuttigo_set_meanwhile(f != NULL));
}

/* --- Worlds ----------------------------------------------------------------------------------- */

PUBLIC int tutti_mpi_init(int *argc, char ***argv) {
    (void)argc, (void)argv;
    struct sigaction old;
    int report = sigaction(SIGUSR1, NULL, &old) == 0 && !(old.sa_flags & SA_SIGINFO) && old.sa_handler == SIG_DFL;
    return GO("Init", tuttigo_init(report));
}
PUBLIC int tutti_mpi_finalize(void) { return GO("Finalize", tuttigo_finalize()); }
PUBLIC int tutti_mpi_initialized(int *flag) {
    if (forked) return after_fork("Initialized");
    *flag = tuttigo_initialized();
    return TUTTI_SUCCESS;
}
PUBLIC int tutti_mpi_finalized(int *flag) {
    if (forked) return after_fork("Finalized");
    *flag = tuttigo_finalized();
    return TUTTI_SUCCESS;
}
PUBLIC int tutti_mpi_abort(tutti_comm comm, int code, const char *reason) {
    if (forked) return after_fork("Abort");
    fflush(NULL); /* what the program has printed comes before the reason */
    return GO("Abort", tuttigo_abort(comm, code, (char *)reason));
}
PUBLIC int tutti_mpi_join(const char *path, int fd, int rank, int size, tutti_comm *comm) {
    return GO("Join", tuttigo_join((char *)path, fd, rank, size, comm));
}
PUBLIC int tutti_mpi_leave(tutti_comm *comm) {
    int code = GO("Leave", tuttigo_leave(*comm));
    if (code == TUTTI_SUCCESS) *comm = TUTTI_COMM_NULL;
    return code;
}
PUBLIC int tutti_mpi_new_segment(int *fd) { return GO("NewSegment", tuttigo_new_segment(fd)); }
PUBLIC int tutti_mpi_lost(tutti_comm comm, int rank) { return GO("Lost", tuttigo_lost(comm, rank)); }
PUBLIC int tutti_mpi_revoke(tutti_comm comm) { return GO("Revoke", tuttigo_revoke(comm)); }
PUBLIC int tutti_mpi_waiting(tutti_comm comm, char *text, int64_t room) {
    return GO("Waiting", tuttigo_waiting(comm, text, room));
}
PUBLIC int tutti_mpi_set_error_handler(tutti_comm comm, tutti_error_handler f, void *context) {
    return GO("SetErrorHandler", tuttigo_set_error_handler(comm, (uintptr_t)f, (uintptr_t)context));
}

PUBLIC double tutti_mpi_wtime(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}
PUBLIC double tutti_mpi_wtick(void) {
    struct timespec t;
    clock_getres(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}
PUBLIC int tutti_mpi_processor_name(char *name, int64_t room) {
    if (room < 1) return TUTTI_ERR_ARG;
    if (gethostname(name, (size_t)room) != 0) put(name, (size_t)room, "localhost", 9);
    name[room - 1] = 0;
    return TUTTI_SUCCESS;
}

/* --- Communicators, groups, grids ------------------------------------------------------------- */

PUBLIC int tutti_mpi_comm_rank(tutti_comm comm, int *rank) { return GO("rank", tuttigo_comm_rank(comm, rank)); }
PUBLIC int tutti_mpi_comm_size(tutti_comm comm, int *size) { return GO("size", tuttigo_comm_size(comm, size)); }
PUBLIC int tutti_mpi_comm_dup(tutti_comm comm, tutti_comm *dup) { return GO("Dup", tuttigo_comm_dup(comm, dup)); }
PUBLIC int tutti_mpi_comm_split(tutti_comm comm, int color, int key, tutti_comm *part) {
    return GO("Split", tuttigo_comm_split(comm, color, key, part));
}
PUBLIC int tutti_mpi_comm_split_shared(tutti_comm comm, int key, tutti_comm *part) {
    return GO("SplitShared", tuttigo_comm_split_shared(comm, key, part));
}
PUBLIC int tutti_mpi_comm_create(tutti_comm comm, tutti_group group, tutti_comm *made) {
    return GO("Create", tuttigo_comm_create(comm, group, made));
}
PUBLIC int tutti_mpi_comm_free(tutti_comm *comm) {
    int code = GO("Free", tuttigo_comm_free(*comm));
    if (code == TUTTI_SUCCESS) *comm = TUTTI_COMM_NULL;
    return code;
}
PUBLIC int tutti_mpi_comm_set_name(tutti_comm comm, const char *name) {
    return GO("SetName", tuttigo_comm_set_name(comm, (char *)name));
}
PUBLIC int tutti_mpi_comm_get_name(tutti_comm comm, char *name, int64_t room) {
    return GO("Name", tuttigo_comm_get_name(comm, name, room));
}
PUBLIC int tutti_mpi_comm_compare(tutti_comm a, tutti_comm b, int *result) {
    return GO("Compare", tuttigo_comm_compare(a, b, result));
}
PUBLIC int tutti_mpi_tag_ub(tutti_comm comm, int64_t *highest) { return GO("TagUB", tuttigo_tag_ub(comm, highest)); }

PUBLIC int tutti_mpi_comm_group(tutti_comm comm, tutti_group *group) { return GO("Group", tuttigo_comm_group(comm, group)); }
PUBLIC int tutti_mpi_group_size(tutti_group group, int *size) { return GO("group size", tuttigo_group_size(group, size)); }
PUBLIC int tutti_mpi_group_rank(tutti_group group, int *rank) { return GO("group rank", tuttigo_group_rank(group, rank)); }
PUBLIC int tutti_mpi_group_incl(tutti_group group, int n, const int *ranks, tutti_group *made) {
    return GO("group incl", tuttigo_group_pick(group, 0, n, (int *)ranks, made));
}
PUBLIC int tutti_mpi_group_excl(tutti_group group, int n, const int *ranks, tutti_group *made) {
    return GO("group excl", tuttigo_group_pick(group, 1, n, (int *)ranks, made));
}
PUBLIC int tutti_mpi_group_union(tutti_group a, tutti_group b, tutti_group *made) {
    return GO("group union", tuttigo_group_join(0, a, b, made));
}
PUBLIC int tutti_mpi_group_intersection(tutti_group a, tutti_group b, tutti_group *made) {
    return GO("group intersection", tuttigo_group_join(1, a, b, made));
}
PUBLIC int tutti_mpi_group_difference(tutti_group a, tutti_group b, tutti_group *made) {
    return GO("group difference", tuttigo_group_join(2, a, b, made));
}
PUBLIC int tutti_mpi_group_compare(tutti_group a, tutti_group b, int *result) {
    return GO("group compare", tuttigo_group_compare(a, b, result));
}
PUBLIC int tutti_mpi_group_translate(tutti_group a, int n, const int *ranks, tutti_group b, int *out) {
    return GO("group translate", tuttigo_group_translate(a, n, (int *)ranks, b, out));
}
PUBLIC int tutti_mpi_group_free(tutti_group *group) {
    int code = GO("group free", tuttigo_group_free(*group));
    if (code == TUTTI_SUCCESS) *group = TUTTI_GROUP_NULL;
    return code;
}

PUBLIC int tutti_mpi_dims_create(int n, int ndims, int *dims) { return GO("Dims", tuttigo_dims_create(n, ndims, dims)); }
PUBLIC int tutti_mpi_cart_create(tutti_comm comm, int ndims, const int *dims, const int *periodic, tutti_comm *grid) {
    return GO("CartCreate", tuttigo_cart_create(comm, ndims, (int *)dims, (int *)periodic, grid));
}
PUBLIC int tutti_mpi_cart_dim(tutti_comm grid, int *ndims) { return GO("CartGet", tuttigo_cart_dim(grid, ndims)); }
PUBLIC int tutti_mpi_cart_get(tutti_comm grid, int ndims, int *dims, int *periodic, int *coords) {
    return GO("CartGet", tuttigo_cart_get(grid, ndims, dims, periodic, coords));
}
PUBLIC int tutti_mpi_cart_coords(tutti_comm grid, int rank, int ndims, int *coords) {
    return GO("CartCoords", tuttigo_cart_coords(grid, rank, ndims, coords));
}
PUBLIC int tutti_mpi_cart_rank(tutti_comm grid, const int *coords, int *rank) {
    return GO("CartRank", tuttigo_cart_rank(grid, (int *)coords, rank));
}
PUBLIC int tutti_mpi_cart_shift(tutti_comm grid, int direction, int disp, int *from, int *to) {
    return GO("CartShift", tuttigo_cart_shift(grid, direction, disp, from, to));
}
PUBLIC int tutti_mpi_cart_sub(tutti_comm grid, const int *keep, tutti_comm *sub) {
    return GO("CartSub", tuttigo_cart_sub(grid, (int *)keep, sub));
}

/* --- Messages --------------------------------------------------------------------------------- */

PUBLIC int tutti_mpi_try_send(const void *buf, int64_t count, tutti_type type, int to, int tag, tutti_comm comm) {
    if (__builtin_expect(forked, 0)) return after_fork("Send");
    return fast_send(buf, count, type, to, tag, comm);
}
PUBLIC int tutti_mpi_try_recv(void *buf, int64_t count, tutti_type type, int from, int tag, tutti_comm comm,
                              tutti_status *status, int spins) {
    if (__builtin_expect(forked, 0)) return after_fork("Recv");
    return fast_recv(buf, count, type, from, tag, comm, status, spins);
}
/* allocated keeps the error of a message for which there was no memory. */
static int allocated(int code, int from, int tag) {
    static const char text[] = "mpi: Recv: no memory for the message";
    if (code == TUTTI_ERR_BUFFER)
        tutti_keep_error(code, -1, from, tag, "Recv", 4, "invalid", 7, "", 0, "", 0, text, sizeof text - 1);
    return code;
}
PUBLIC int tutti_mpi_try_recv_alloc(tutti_alloc alloc, void *context, int from, int tag, tutti_comm comm,
                                    tutti_status *status, int spins) {
    if (__builtin_expect(forked, 0)) return after_fork("Recv");
    return allocated(fast_recv_alloc(alloc, context, from, tag, comm, status, spins), from, tag);
}

PUBLIC int tutti_mpi_send(const void *buf, int64_t count, tutti_type type, int to, int tag, tutti_comm comm) {
    if (__builtin_expect(forked, 0)) return after_fork("Send");
    if (fast_send(buf, count, type, to, tag, comm) == TUTTI_SUCCESS) return TUTTI_SUCCESS;
    return finish(tuttigo_send((void *)buf, count, type, to, tag, comm, 0));
}
PUBLIC int tutti_mpi_ssend(const void *buf, int64_t count, tutti_type type, int to, int tag, tutti_comm comm) {
    return GO("Ssend", tuttigo_send((void *)buf, count, type, to, tag, comm, 1));
}
PUBLIC int tutti_mpi_recv(void *buf, int64_t count, tutti_type type, int from, int tag, tutti_comm comm, tutti_status *status) {
    if (__builtin_expect(forked, 0)) return after_fork("Recv");
    if (fast_recv(buf, count, type, from, tag, comm, status, 0) == TUTTI_SUCCESS) return TUTTI_SUCCESS;
    return finish(tuttigo_recv(buf, count, type, from, tag, comm, status));
}
PUBLIC int tutti_mpi_recv_alloc(tutti_alloc alloc, void *context, int from, int tag, tutti_comm comm, tutti_status *status) {
    if (__builtin_expect(forked, 0)) return after_fork("Recv");
    int code = allocated(fast_recv_alloc(alloc, context, from, tag, comm, status, 0), from, tag);
    if (code != TUTTI_PENDING) return code;
    tutti_message m;
    tutti_status st;
    code = finish(tuttigo_mprobe(from, tag, comm, NULL, &m, &st));
    if (code != TUTTI_SUCCESS) return code;
    void *to = alloc(context, st.bytes);
    if (!to) {
        tuttigo_mrecv(NULL, 0, TUTTI_BYTE, m, NULL); /* for its sender's sake */
        return allocated(TUTTI_ERR_BUFFER, st.source, st.tag);
    }
    code = finish(tuttigo_mrecv(to, st.bytes, TUTTI_BYTE, m, &st));
    if (status) *status = st;
    return code;
}
PUBLIC int tutti_mpi_sendrecv(const void *out, int64_t out_count, tutti_type out_type, int to, int out_tag, void *in,
                              int64_t in_count, tutti_type in_type, int from, int in_tag, tutti_comm comm, tutti_status *status) {
    if (__builtin_expect(forked, 0)) return after_fork("Sendrecv");
    /* A short message is on its way at once, and then it is a receive. */
    if (fast_send(out, out_count, out_type, to, out_tag, comm) == TUTTI_SUCCESS)
        return tutti_mpi_recv(in, in_count, in_type, from, in_tag, comm, status);
    return GO("Sendrecv", tuttigo_sendrecv((void *)out, out_count, out_type, to, out_tag, in, in_count, in_type, from, in_tag,
                                           comm, status));
}
PUBLIC int tutti_mpi_sendrecv_replace(void *buf, int64_t count, tutti_type type, int to, int out_tag, int from, int in_tag,
                                      tutti_comm comm, tutti_status *status) {
    return GO("SendrecvReplace", tuttigo_sendrecv_replace(buf, count, type, to, out_tag, from, in_tag, comm, status));
}
PUBLIC int tutti_mpi_get_count(const tutti_status *status, tutti_type type, int64_t *count) {
    int size;
    int code = tutti_mpi_type_size(type, &size);
    if (code != TUTTI_SUCCESS) return code;
    *count = status->bytes % size ? TUTTI_UNDEFINED : status->bytes / size;
    return TUTTI_SUCCESS;
}

PUBLIC int tutti_mpi_probe(int from, int tag, tutti_comm comm, tutti_status *status) {
    return GO("Probe", tuttigo_probe(from, tag, comm, NULL, status));
}
PUBLIC int tutti_mpi_iprobe(int from, int tag, tutti_comm comm, int *flag, tutti_status *status) {
    return GO("Iprobe", tuttigo_probe(from, tag, comm, flag, status));
}
PUBLIC int tutti_mpi_mprobe(int from, int tag, tutti_comm comm, tutti_message *message, tutti_status *status) {
    return GO("Mprobe", tuttigo_mprobe(from, tag, comm, NULL, message, status));
}
PUBLIC int tutti_mpi_improbe(int from, int tag, tutti_comm comm, int *flag, tutti_message *message, tutti_status *status) {
    return GO("Improbe", tuttigo_mprobe(from, tag, comm, flag, message, status));
}
PUBLIC int tutti_mpi_mrecv(void *buf, int64_t count, tutti_type type, tutti_message *message, tutti_status *status) {
    int code = GO("Mrecv", tuttigo_mrecv(buf, count, type, *message, status));
    if (code == TUTTI_SUCCESS || code == TUTTI_ERR_TRUNCATE) *message = TUTTI_MESSAGE_NULL;
    return code;
}

/* --- Requests --------------------------------------------------------------------------------- */

PUBLIC int tutti_mpi_isend(const void *buf, int64_t count, tutti_type type, int to, int tag, tutti_comm comm,
                           tutti_request *request) {
    if (__builtin_expect(forked, 0)) return after_fork("Isend");
    if (fast_send(buf, count, type, to, tag, comm) == TUTTI_SUCCESS) {
        *request = TUTTI_REQUEST_DONE;
        return TUTTI_SUCCESS;
    }
    return finish(tuttigo_isend((void *)buf, count, type, to, tag, comm, 0, request));
}
PUBLIC int tutti_mpi_issend(const void *buf, int64_t count, tutti_type type, int to, int tag, tutti_comm comm,
                            tutti_request *request) {
    return GO("Issend", tuttigo_isend((void *)buf, count, type, to, tag, comm, 1, request));
}
PUBLIC int tutti_mpi_irecv(void *buf, int64_t count, tutti_type type, int from, int tag, tutti_comm comm,
                           tutti_request *request) {
    return GO("Irecv", tuttigo_irecv(buf, count, type, from, tag, comm, request));
}

/* at_once ends a request behind which there is no operation. */
static int at_once(tutti_request *request, tutti_status *status) {
    if (*request != TUTTI_REQUEST_NULL && *request != TUTTI_REQUEST_DONE) return 0;
    *request = TUTTI_REQUEST_NULL;
    if (status) *status = (tutti_status){.source = TUTTI_ANY_SOURCE, .tag = TUTTI_ANY_TAG};
    return 1;
}

PUBLIC int tutti_mpi_wait(tutti_request *request, tutti_status *status) {
    if (__builtin_expect(forked, 0)) return after_fork("Wait");
    if (at_once(request, status)) return TUTTI_SUCCESS;
    return finish(tuttigo_wait(request, status));
}
PUBLIC int tutti_mpi_test(tutti_request *request, int *flag, tutti_status *status) {
    return GO("Test", tuttigo_test(request, flag, status));
}
PUBLIC int tutti_mpi_wait_all(int n, tutti_request *requests, tutti_status *statuses) {
    int active = 0;
    if (__builtin_expect(forked, 0)) return after_fork("WaitAll");
    for (int i = 0; i < n; i++) active |= requests[i] != TUTTI_REQUEST_NULL && requests[i] != TUTTI_REQUEST_DONE;
    if (active || n < 0) return finish(tuttigo_wait_all(n, requests, NULL, statuses));
    for (int i = 0; i < n; i++) at_once(requests + i, statuses ? statuses + i : NULL);
    return TUTTI_SUCCESS;
}
PUBLIC int tutti_mpi_test_all(int n, tutti_request *requests, int *flag, tutti_status *statuses) {
    return GO("TestAll", tuttigo_wait_all(n, requests, flag, statuses));
}
PUBLIC int tutti_mpi_wait_any(int n, tutti_request *requests, int *index, tutti_status *status) {
    return GO("WaitAny", tuttigo_wait_any(n, requests, index, NULL, status));
}
PUBLIC int tutti_mpi_test_any(int n, tutti_request *requests, int *index, int *flag, tutti_status *status) {
    return GO("TestAny", tuttigo_wait_any(n, requests, index, flag, status));
}
PUBLIC int tutti_mpi_wait_some(int n, tutti_request *requests, int *done, int *indices, tutti_status *statuses) {
    return GO("WaitSome", tuttigo_wait_some(n, requests, 1, done, indices, statuses));
}
PUBLIC int tutti_mpi_test_some(int n, tutti_request *requests, int *done, int *indices, tutti_status *statuses) {
    return GO("TestSome", tuttigo_wait_some(n, requests, 0, done, indices, statuses));
}
PUBLIC int tutti_mpi_cancel(tutti_request *request) { return GO("Cancel", tuttigo_cancel(*request)); }
PUBLIC int tutti_mpi_request_free(tutti_request *request) {
    if (at_once(request, NULL)) return TUTTI_SUCCESS;
    int code = GO("request free", tuttigo_request_free(*request));
    if (code == TUTTI_SUCCESS) *request = TUTTI_REQUEST_NULL;
    return code;
}
PUBLIC int tutti_mpi_request_status(tutti_request request, int *flag, tutti_status *status) {
    *flag = 1;
    if (at_once(&request, status)) return TUTTI_SUCCESS;
    return GO("request status", tuttigo_request_status(request, flag, status));
}

/* --- Collective operations ------------------------------------------------------------------- */

/* The kinds in the order of package mpi. */
enum { V = 64, /* a v form */ BARRIER = 0, BCAST, REDUCE, ALLREDUCE, GATHER, SCATTER, ALLGATHER, ALLTOALL, SCAN, EXSCAN, REDUCE_SCATTER };

typedef int64_t const *counts_t;

static int collective(const char *name, int kind, const void *send, void *recv, int64_t count, tutti_type type, tutti_op op,
                      int root, counts_t scounts, counts_t sdispls, counts_t rcounts, counts_t rdispls, tutti_comm comm,
                      tutti_request *request) {
    return GO(name, tuttigo_collective(kind, (void *)send, recv, count, type, op, root, (int64_t *)scounts, (int64_t *)sdispls,
                                       (int64_t *)rcounts, (int64_t *)rdispls, comm, request));
}

/* BOTH(name, arguments, call) defines a collective operation and the form that begins it. */
#define ARGS(...) __VA_ARGS__
#define BOTH(name, parameters, ...)                                                        \
    PUBLIC int tutti_mpi_##name(parameters, tutti_comm comm) {                             \
        return collective(#name, __VA_ARGS__, comm, NULL);                                 \
    }                                                                                      \
    PUBLIC int tutti_mpi_i##name(parameters, tutti_comm comm, tutti_request *request) {    \
        return collective("i" #name, __VA_ARGS__, comm, request);                          \
    }
#define NONE NULL, NULL, NULL, NULL /* no counts: equal blocks */

PUBLIC int tutti_mpi_barrier(tutti_comm comm) {
    return collective("barrier", BARRIER, NULL, NULL, 0, TUTTI_BYTE, 0, 0, NONE, comm, NULL);
}
PUBLIC int tutti_mpi_ibarrier(tutti_comm comm, tutti_request *request) {
    return collective("ibarrier", BARRIER, NULL, NULL, 0, TUTTI_BYTE, 0, 0, NONE, comm, request);
}
BOTH(bcast, ARGS(void *buf, int64_t count, tutti_type type, int root), BCAST, NULL, buf, count, type, 0, root, NONE)
BOTH(reduce, ARGS(const void *send, void *recv, int64_t count, tutti_type type, tutti_op op, int root), REDUCE, send, recv,
     count, type, op, root, NONE)
BOTH(allreduce, ARGS(const void *send, void *recv, int64_t count, tutti_type type, tutti_op op), ALLREDUCE, send, recv, count,
     type, op, 0, NONE)
BOTH(scan, ARGS(const void *send, void *recv, int64_t count, tutti_type type, tutti_op op), SCAN, send, recv, count, type, op,
     0, NONE)
BOTH(exscan, ARGS(const void *send, void *recv, int64_t count, tutti_type type, tutti_op op), EXSCAN, send, recv, count, type,
     op, 0, NONE)
BOTH(reduce_scatter, ARGS(const void *send, void *recv, const int64_t *counts, tutti_type type, tutti_op op), REDUCE_SCATTER,
     send, recv, 0, type, op, 0, NULL, NULL, counts, NULL)
BOTH(reduce_scatter_block, ARGS(const void *send, void *recv, int64_t count, tutti_type type, tutti_op op), REDUCE_SCATTER,
     send, recv, count, type, op, 0, NONE)
BOTH(gather, ARGS(const void *send, void *recv, int64_t count, tutti_type type, int root), GATHER, send, recv, count, type, 0,
     root, NONE)
BOTH(gatherv,
     ARGS(const void *send, int64_t count, void *recv, const int64_t *counts, const int64_t *displs, tutti_type type, int root),
     GATHER | V, send, recv, count, type, 0, root, NULL, NULL, counts, displs)
BOTH(scatter, ARGS(const void *send, void *recv, int64_t count, tutti_type type, int root), SCATTER, send, recv, count, type, 0,
     root, NONE)
BOTH(scatterv,
     ARGS(const void *send, const int64_t *counts, const int64_t *displs, void *recv, int64_t count, tutti_type type, int root),
     SCATTER | V, send, recv, count, type, 0, root, counts, displs, NULL, NULL)
BOTH(allgather, ARGS(const void *send, void *recv, int64_t count, tutti_type type), ALLGATHER, send, recv, count, type, 0, 0,
     NONE)
BOTH(allgatherv,
     ARGS(const void *send, int64_t count, void *recv, const int64_t *counts, const int64_t *displs, tutti_type type),
     ALLGATHER | V, send, recv, count, type, 0, 0, NULL, NULL, counts, displs)
BOTH(alltoall, ARGS(const void *send, void *recv, int64_t count, tutti_type type), ALLTOALL, send, recv, count, type, 0, 0,
     NONE)
BOTH(alltoallv,
     ARGS(const void *send, const int64_t *send_counts, const int64_t *send_displs, void *recv, const int64_t *recv_counts,
          const int64_t *recv_displs, tutti_type type),
     ALLTOALL | V, send, recv, 0, type, 0, 0, send_counts, send_displs, recv_counts, recv_displs)

/* --- Types, reductions, memory in common ------------------------------------------------------ */

PUBLIC int tutti_mpi_type_size(tutti_type type, int *bytes) {
    int size = type >= 1 && type <= TUTTI_LOC_FLOAT64 ? fast_type_size[type] : 0;
    if (!size) return GO("type size", tuttigo_type_size(type, bytes));
    *bytes = size;
    return TUTTI_SUCCESS;
}
PUBLIC int tutti_mpi_op_create(tutti_op_function f, int commutes, void *context, tutti_op *op) {
    return GO("op create", tuttigo_op_create((uintptr_t)f, commutes, (uintptr_t)context, op));
}
PUBLIC int tutti_mpi_op_free(tutti_op *op) {
    int code = GO("op free", tuttigo_op_free(*op));
    if (code == TUTTI_SUCCESS) *op = TUTTI_OP_NULL;
    return code;
}
PUBLIC int tutti_mpi_win_allocate_shared(int64_t bytes, tutti_comm comm, tutti_win *win, void **base) {
    return GO("NewWindow", tuttigo_win_allocate_shared(bytes, comm, win, base));
}
PUBLIC int tutti_mpi_win_query(tutti_win win, int rank, int64_t *bytes, void **base) {
    return GO("window query", tuttigo_win_query(win, rank, bytes, base));
}
PUBLIC int tutti_mpi_win_sync(tutti_win win) { return GO("Window.Sync", tuttigo_win_sync(win)); }
PUBLIC int tutti_mpi_win_free(tutti_win *win) {
    int code = GO("Window.Free", tuttigo_win_free(*win));
    if (code == TUTTI_SUCCESS) *win = TUTTI_WIN_NULL;
    return code;
}
