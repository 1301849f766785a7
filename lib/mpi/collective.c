/* collective.c: collective operations and reductions of MPI. */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "layer.h"

/* --- Reductions -------------------------------------------------------------------------------- */

/* An operation of the program. For each type it is an operation of libtutti of its own, made at
 * its first use: the program's function wants to be told the type. */
typedef struct known {
    struct known *next;
    MPI_Datatype t;
    tutti_op op;
    MPI_User_function *f;
} known;
typedef struct {
    MPI_User_function *f;
    int commutes;
    known *first;
} operation;

enum { FIRST = 64, MOST = 1024 };
static operation *operations[MOST];
static tutti_op locs[MPI_2DOUBLE_PRECISION + 1][2]; /* MPI_MINLOC and MPI_MAXLOC of each type of pairs */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static operation *operation_of(MPI_Op op) {
    return op >= FIRST && op < FIRST + MOST ? operations[op - FIRST] : NULL;
}

static void call_user(const void *in, void *inout, int64_t count, tutti_type plain, void *context) {
    (void)plain;
    known *k = context;
    MPI_Datatype t = k->t;
    for (int64_t done = 0; done < count;) { /* counts of MPI are int */
        int n = count - done > 1 << 30 ? 1 << 30 : (int)(count - done);
        int64_t at = done * type_of(t)->extent;
        k->f((char *)in + at, (char *)inout + at, &n, &t);
        done += n;
    }
}

/* PLACES(name, pair, value, index, type) defines a loop that keeps the better value, of equal ones the lower index. */
#define PLACES(name, V, I)                                                                      \
    typedef struct {                                                                            \
        V v;                                                                                    \
        I i;                                                                                    \
    } name;                                                                                     \
    static void better_##name(const name *a, name *b, int64_t n, int larger) {                  \
        for (int64_t k = 0; k < n; k++)                                                         \
            if ((larger ? a[k].v > b[k].v : a[k].v < b[k].v) || (a[k].v == b[k].v && a[k].i < b[k].i)) b[k] = a[k]; \
    }
PLACES(float_int, float, int)
PLACES(double_int, double, int)
PLACES(long_int, long, int)
PLACES(int_int, int, int)
PLACES(short_int, short, int)
PLACES(float_float, float, float)
PLACES(double_double, double, double)

static void call_places(const void *in, void *inout, int64_t count, tutti_type plain, void *context) {
    int t = (int)(intptr_t)context / 2, larger = (int)((intptr_t)context % 2);
    (void)plain;
    switch (t) {
    case MPI_FLOAT_INT: better_float_int(in, inout, count, larger); break;
    case MPI_DOUBLE_INT: better_double_int(in, inout, count, larger); break;
    case MPI_LONG_INT: better_long_int(in, inout, count, larger); break;
    case MPI_SHORT_INT: better_short_int(in, inout, count, larger); break;
    case MPI_2REAL: better_float_float(in, inout, count, larger); break;
    case MPI_2DOUBLE_PRECISION: better_double_double(in, inout, count, larger); break;
    default: better_int_int(in, inout, count, larger); break;
    }
}

tutti_op op_for(MPI_Op op, MPI_Datatype handle, int *byhand) {
    const type *t = type_of(handle);
    tutti_op made = TUTTI_OP_NULL;
    *byhand = 0;
    if (op >= MPI_SUM && op < MPI_MINLOC) return t->pair || (t->user && !t->dense) ? TUTTI_OP_NULL : op;
    pthread_mutex_lock(&lock);
    operation *o = operation_of(op);
    if ((op == MPI_MINLOC || op == MPI_MAXLOC) && t->pair && !t->user) {
        tutti_op *at = &locs[handle][op == MPI_MAXLOC];
        if (!*at) tutti_mpi_op_create(call_places, 1, (void *)(intptr_t)(handle * 2 + (op == MPI_MAXLOC)), at);
        made = *at;
    } else if (o && t->dense && t->per == 1) {
        known *k = o->first;
        while (k && k->t != handle) k = k->next;
        if (!k && (k = malloc(sizeof *k))) {
            *k = (known){o->first, handle, TUTTI_OP_NULL, o->f};
            tutti_mpi_op_create(call_user, o->commutes, k, &k->op);
            o->first = k;
        }
        if (k) made = k->op;
    } else if (o) {
        *byhand = 1; /* elements of several plain ones must not be cut: every rank combines all */
    }
    pthread_mutex_unlock(&lock);
    return made;
}

PUBLIC int MPI_Op_create(MPI_User_function *f, int commutes, MPI_Op *op) {
    operation *o = malloc(sizeof *o);
    if (!o) abort();
    *o = (operation){f, commutes, NULL};
    pthread_mutex_lock(&lock);
    int i = 0;
    while (i < MOST && operations[i]) i++;
    if (i < MOST) operations[i] = o;
    pthread_mutex_unlock(&lock);
    if (i == MOST) return raise_error(MPI_COMM_WORLD, MPI_ERR_OP, __func__, "too many operations");
    *op = FIRST + i;
    return MPI_SUCCESS;
}
PUBLIC int MPI_Op_free(MPI_Op *op) {
    pthread_mutex_lock(&lock);
    operation *o = operation_of(*op);
    if (o) operations[*op - FIRST] = NULL;
    pthread_mutex_unlock(&lock);
    if (!o) return raise_error(MPI_COMM_WORLD, MPI_ERR_OP, __func__, "this is no operation of the program");
    for (known *k = o->first; k; k = k->next) tutti_mpi_op_free(&k->op); /* what is under way keeps it */
    *op = MPI_OP_NULL;
    return MPI_SUCCESS;
}

/* A stretch of memory for count elements as they lie in the program. */
static void *spread(const type *t, int64_t count, void **base) {
    int64_t low = t->lower, high = t->lower + t->extent;
    for (int i = 0; i < t->nruns; i++) {
        if (t->runs[i].at < low) low = t->runs[i].at;
        if (t->runs[i].at + t->runs[i].len > high) high = t->runs[i].at + t->runs[i].len;
    }
    *base = malloc((size_t)((count > 0 ? count - 1 : 0) * t->extent + high - low) + 1);
    if (!*base) abort();
    return (char *)*base - low;
}

enum { REDUCE, ALLREDUCE, SCAN, EXSCAN, SCATTER };

/* by_hand reduces elements that libtutti cannot: every rank gets all contributions and combines
 * those that matter to it, from the highest rank down, as an operation takes its left argument from lower ones. */
static int by_hand(int kind, const void *send, void *recv, const int *counts, int count, MPI_Datatype handle, MPI_Op op, int root,
                   MPI_Comm comm) {
    const type *t = type_of(handle);
    operation *o = operation_of(op);
    int rank, size, skip = 0, result = count;
    int code = tutti_mpi_comm_rank(comm, &rank);
    if (code == TUTTI_SUCCESS) code = tutti_mpi_comm_size(comm, &size);
    if (code != TUTTI_SUCCESS) return code;
    if (kind == SCATTER) {
        for (int r = 0; r < rank; r++) skip += counts[r];
        result = counts[rank];
    }
    int64_t bytes = count * travels(t);
    char *mine = malloc((size_t)bytes + 1), *all = malloc((size_t)(bytes * size) + 1);
    if (!mine || !all) abort();
    pack(t, send == MPI_IN_PLACE ? recv : send, count, mine);
    code = tutti_mpi_allgather(mine, all, bytes, TUTTI_BYTE, comm);
    int last = kind == SCAN ? rank : kind == EXSCAN ? rank - 1 : size - 1;
    if (code == TUTTI_SUCCESS && last >= 0 && (kind != REDUCE || rank == root)) {
        void *base1, *base2, *acc = spread(t, count, &base1), *in = spread(t, count, &base2);
        unpack(t, acc, all + last * bytes, bytes);
        for (int r = last - 1; r >= 0; r--) {
            unpack(t, in, all + r * bytes, bytes);
            o->f(in, acc, &count, &handle);
        }
        pack(t, acc, count, mine);
        unpack(t, recv, mine + skip * travels(t), result * travels(t));
        free(base1), free(base2);
    }
    free(mine), free(all);
    return code;
}

/* --- Collective operations --------------------------------------------------------------------- */


/* A reduction's buffers: what makes it impossible, or NULL. */
static const char *reducible(view *v, MPI_Datatype t, int count, MPI_Op op, tutti_op *o, int *byhand, int *code) {
    *code = view_of(v, NULL, count, t, 0);
    if (*code != MPI_SUCCESS) return tutti_error_class(*code);
    view_end(v, 0, 0);
    *o = op_for(op, t, byhand);
    *code = MPI_ERR_OP;
    return *o || *byhand ? NULL : "the operation does not exist, or has no meaning for this type";
}

#define REDUCTION(t, count, op)                                        \
    view v;                                                            \
    tutti_op o;                                                        \
    int byhand, code;                                                  \
    const char *why = reducible(&v, t, count, op, &o, &byhand, &code); \
    if (why) return raise_error(comm, code, __func__, why)

/* shift gives a buffer at the first byte of its data. */
static void *shift(const void *buf, MPI_Datatype t) {
    return buf && buf != MPI_IN_PLACE ? (char *)buf + type_of(t)->lower : (void *)buf;
}

PUBLIC int MPI_Reduce(const void *send, void *recv, int count, MPI_Datatype t, MPI_Op op, int root, MPI_Comm comm) {
    REDUCTION(t, count, op);
    if (byhand) return DONE(comm, by_hand(REDUCE, send, recv, NULL, count, t, op, root, comm));
    return DONE(comm, tutti_mpi_reduce(shift(send, t), shift(recv, t), v.count, v.plain, o, root, comm));
}
PUBLIC int MPI_Allreduce(const void *send, void *recv, int count, MPI_Datatype t, MPI_Op op, MPI_Comm comm) {
    REDUCTION(t, count, op);
    if (byhand) return DONE(comm, by_hand(ALLREDUCE, send, recv, NULL, count, t, op, 0, comm));
    return DONE(comm, tutti_mpi_allreduce(shift(send, t), shift(recv, t), v.count, v.plain, o, comm));
}
PUBLIC int MPI_Scan(const void *send, void *recv, int count, MPI_Datatype t, MPI_Op op, MPI_Comm comm) {
    REDUCTION(t, count, op);
    if (byhand) return DONE(comm, by_hand(SCAN, send, recv, NULL, count, t, op, 0, comm));
    return DONE(comm, tutti_mpi_scan(shift(send, t), shift(recv, t), v.count, v.plain, o, comm));
}
PUBLIC int MPI_Exscan(const void *send, void *recv, int count, MPI_Datatype t, MPI_Op op, MPI_Comm comm) {
    REDUCTION(t, count, op);
    if (byhand) return DONE(comm, by_hand(EXSCAN, send, recv, NULL, count, t, op, 0, comm));
    return DONE(comm, tutti_mpi_exscan(shift(send, t), shift(recv, t), v.count, v.plain, o, comm));
}
PUBLIC int MPI_Reduce_scatter(const void *send, void *recv, const int counts[], MPI_Datatype t, MPI_Op op, MPI_Comm comm) {
    int size, total = 0, bad = tutti_mpi_comm_size(comm, &size);
    if (bad != TUTTI_SUCCESS) return DONE(comm, bad);
    for (int r = 0; r < size; r++) {
        if (counts[r] < 0) return raise_error(comm, MPI_ERR_COUNT, __func__, "a count is negative");
        total += counts[r];
    }
    REDUCTION(t, total, op);
    if (byhand) return DONE(comm, by_hand(SCATTER, send, recv, counts, total, t, op, 0, comm));
    int64_t *long_counts = malloc((size_t)size * sizeof *long_counts);
    if (!long_counts) abort();
    for (int r = 0; r < size; r++) long_counts[r] = (int64_t)counts[r] * v.t->per;
    code = tutti_mpi_reduce_scatter(shift(send, t), shift(recv, t), long_counts, v.plain, o, comm);
    free(long_counts);
    return DONE(comm, code);
}
PUBLIC int MPI_Reduce_scatter_block(const void *send, void *recv, int count, MPI_Datatype t, MPI_Op op, MPI_Comm comm) {
    int size, code = tutti_mpi_comm_size(comm, &size);
    if (code != TUTTI_SUCCESS) return DONE(comm, code);
    int *counts = malloc((size_t)size * sizeof *counts);
    if (!counts) abort();
    for (int r = 0; r < size; r++) counts[r] = count;
    code = MPI_Reduce_scatter(send, recv, counts, t, op, comm);
    free(counts);
    return code;
}
PUBLIC int MPI_Ireduce(const void *send, void *recv, int count, MPI_Datatype t, MPI_Op op, int root, MPI_Comm comm,
                       MPI_Request *request) {
    REDUCTION(t, count, op);
    if (byhand) return raise_error(comm, MPI_ERR_TYPE, __func__, "not for an own operation on such a type: use the blocking form");
    return DONE(comm, tutti_mpi_ireduce(shift(send, t), shift(recv, t), v.count, v.plain, o, root, comm, request));
}
PUBLIC int MPI_Iallreduce(const void *send, void *recv, int count, MPI_Datatype t, MPI_Op op, MPI_Comm comm,
                          MPI_Request *request) {
    REDUCTION(t, count, op);
    if (byhand) return raise_error(comm, MPI_ERR_TYPE, __func__, "not for an own operation on such a type: use the blocking form");
    return DONE(comm, tutti_mpi_iallreduce(shift(send, t), shift(recv, t), v.count, v.plain, o, comm, request));
}

PUBLIC int MPI_Barrier(MPI_Comm comm) { return DONE(comm, tutti_mpi_barrier(comm)); }
PUBLIC int MPI_Ibarrier(MPI_Comm comm, MPI_Request *request) { return DONE(comm, tutti_mpi_ibarrier(comm, request)); }

PUBLIC int MPI_Bcast(void *buf, int count, MPI_Datatype t, int root, MPI_Comm comm) {
    view v;
    int code = view_of(&v, buf, count, t, 1);
    if (code != MPI_SUCCESS) return raise_error(comm, code, __func__, tutti_error_class(code));
    code = tutti_mpi_bcast(v.at, v.count, v.plain, root, comm);
    view_end(&v, code == TUTTI_SUCCESS, -1);
    return DONE(comm, code);
}
PUBLIC int MPI_Ibcast(void *buf, int count, MPI_Datatype t, int root, MPI_Comm comm, MPI_Request *request) {
    view v;
    int code = view_of(&v, buf, count, t, 1);
    if (code == MPI_SUCCESS && v.copy) {
        view_end(&v, 0, -1);
        code = MPI_ERR_TYPE;
    }
    if (code != MPI_SUCCESS) return raise_error(comm, code, __func__, "a type without gaps is needed");
    return DONE(comm, tutti_mpi_ibcast(v.at, v.count, v.plain, root, comm, request));
}

static int64_t length(const view *v) { return v->t->per ? v->count / v->t->per * travels(v->t) : 0; }

/* What the equal forms of gather, scatter, allgather and alltoall have in common. one is the side
 * of one block, all that of all blocks; a side that this rank has no part in is left out. */
typedef struct {
    view one, all;
    int has_one, has_all, size, rank;
} sides;

static int open_sides(sides *s, const void *one, int one_count, MPI_Datatype one_type, int read_one, const void *all,
                      int all_count, MPI_Datatype all_type, int read_all, MPI_Comm comm, const char **why) {
    int code = tutti_mpi_comm_size(comm, &s->size);
    *why = NULL;
    if (code == TUTTI_SUCCESS) code = tutti_mpi_comm_rank(comm, &s->rank);
    if (code != TUTTI_SUCCESS) return code;
    if (s->has_all) {
        if (all_count > 0 && all_count > INT32_MAX / s->size) {
            *why = "the blocks of all ranks are too many elements";
            return MPI_ERR_COUNT;
        }
        code = view_of(&s->all, all, all_count * s->size, all_type, read_all);
    }
    if (code == MPI_SUCCESS && s->has_one && one != MPI_IN_PLACE) code = view_of(&s->one, one, one_count, one_type, read_one);
    if (code != MPI_SUCCESS) {
        *why = tutti_error_class(code);
        return code;
    }
    if (one == MPI_IN_PLACE) s->one = (view){.at = MPI_IN_PLACE};
    if (s->has_one && s->has_all && one != MPI_IN_PLACE && length(&s->one) * s->size != length(&s->all)) {
        *why = "what a rank sends is not as long as what it receives from itself";
        code = MPI_ERR_COUNT;
    }
    return code;
}
static void close_sides(sides *s, int write_one, int write_all) {
    view_end(&s->one, write_one, -1);
    view_end(&s->all, write_all, -1);
}
/* block is the count and the type of a block, from a side that this rank has. */
static int64_t block(const sides *s, tutti_type *plain) {
    *plain = s->has_all ? s->all.plain : s->one.plain;
    return s->has_all ? s->all.count / s->size : s->one.count;
}
#define GAPS(s) ((s).one.copy || (s).all.copy)
#define NO_GAPS "a type without gaps is needed"

static int gather(int everywhere, const void *send, int send_count, MPI_Datatype send_type, void *recv, int recv_count,
                  MPI_Datatype recv_type, int root, MPI_Comm comm, MPI_Request *request, const char *name) {
    sides s = {.has_one = 1};
    tutti_type plain;
    const char *why;
    int rank, code = tutti_mpi_comm_rank(comm, &rank);
    if (code != TUTTI_SUCCESS) return done(comm, code, name);
    s.has_all = everywhere || rank == root;
    /* In place, what is already there must survive the way through a copy. */
    code = open_sides(&s, send, send_count, send_type, 1, recv, recv_count, recv_type, send == MPI_IN_PLACE, comm, &why);
    if (code == MPI_SUCCESS && request && GAPS(s)) code = MPI_ERR_TYPE, why = NO_GAPS;
    if (code != MPI_SUCCESS) {
        close_sides(&s, 0, 0);
        return raise_error(comm, code, name, why);
    }
    int64_t n = block(&s, &plain);
    if (everywhere && request)
        code = tutti_mpi_iallgather(s.one.at, s.all.at, n, plain, comm, request);
    else if (everywhere)
        code = tutti_mpi_allgather(s.one.at, s.all.at, n, plain, comm);
    else if (request)
        code = tutti_mpi_igather(s.one.at, s.all.at, n, plain, root, comm, request);
    else
        code = tutti_mpi_gather(s.one.at, s.all.at, n, plain, root, comm);
    close_sides(&s, 0, code == TUTTI_SUCCESS);
    return done(comm, code, name);
}
PUBLIC int MPI_Gather(const void *send, int send_count, MPI_Datatype send_type, void *recv, int recv_count,
                      MPI_Datatype recv_type, int root, MPI_Comm comm) {
    return gather(0, send, send_count, send_type, recv, recv_count, recv_type, root, comm, NULL, __func__);
}
PUBLIC int MPI_Igather(const void *send, int send_count, MPI_Datatype send_type, void *recv, int recv_count,
                       MPI_Datatype recv_type, int root, MPI_Comm comm, MPI_Request *request) {
    return gather(0, send, send_count, send_type, recv, recv_count, recv_type, root, comm, request, __func__);
}
PUBLIC int MPI_Allgather(const void *send, int send_count, MPI_Datatype send_type, void *recv, int recv_count,
                         MPI_Datatype recv_type, MPI_Comm comm) {
    return gather(1, send, send_count, send_type, recv, recv_count, recv_type, 0, comm, NULL, __func__);
}
PUBLIC int MPI_Iallgather(const void *send, int send_count, MPI_Datatype send_type, void *recv, int recv_count,
                          MPI_Datatype recv_type, MPI_Comm comm, MPI_Request *request) {
    return gather(1, send, send_count, send_type, recv, recv_count, recv_type, 0, comm, request, __func__);
}

static int scatter(const void *send, int send_count, MPI_Datatype send_type, void *recv, int recv_count, MPI_Datatype recv_type,
                   int root, MPI_Comm comm, MPI_Request *request, const char *name) {
    sides s = {.has_one = 1};
    tutti_type plain;
    const char *why;
    int rank, code = tutti_mpi_comm_rank(comm, &rank);
    if (code != TUTTI_SUCCESS) return done(comm, code, name);
    s.has_all = rank == root;
    code = open_sides(&s, recv, recv_count, recv_type, 0, send, send_count, send_type, 1, comm, &why);
    if (code == MPI_SUCCESS && request && GAPS(s)) code = MPI_ERR_TYPE, why = NO_GAPS;
    if (code != MPI_SUCCESS) {
        close_sides(&s, 0, 0);
        return raise_error(comm, code, name, why);
    }
    int64_t n = block(&s, &plain);
    code = request ? tutti_mpi_iscatter(s.all.at, s.one.at, n, plain, root, comm, request)
                   : tutti_mpi_scatter(s.all.at, s.one.at, n, plain, root, comm);
    close_sides(&s, code == TUTTI_SUCCESS, 0);
    return done(comm, code, name);
}
PUBLIC int MPI_Scatter(const void *send, int send_count, MPI_Datatype send_type, void *recv, int recv_count,
                       MPI_Datatype recv_type, int root, MPI_Comm comm) {
    return scatter(send, send_count, send_type, recv, recv_count, recv_type, root, comm, NULL, __func__);
}
PUBLIC int MPI_Iscatter(const void *send, int send_count, MPI_Datatype send_type, void *recv, int recv_count,
                        MPI_Datatype recv_type, int root, MPI_Comm comm, MPI_Request *request) {
    return scatter(send, send_count, send_type, recv, recv_count, recv_type, root, comm, request, __func__);
}

static int alltoall(const void *send, int send_count, MPI_Datatype send_type, void *recv, int recv_count, MPI_Datatype recv_type,
                    MPI_Comm comm, MPI_Request *request, const char *name) {
    view from = {0}, to;
    int size, code = tutti_mpi_comm_size(comm, &size);
    if (code != TUTTI_SUCCESS) return done(comm, code, name);
    if (recv_count > INT32_MAX / size || (send != MPI_IN_PLACE && send_count > INT32_MAX / size))
        return raise_error(comm, MPI_ERR_COUNT, name, "the blocks of all ranks are too many elements");
    code = view_of(&to, recv, recv_count * size, recv_type, send == MPI_IN_PLACE);
    if (code != MPI_SUCCESS) return raise_error(comm, code, name, tutti_error_class(code));
    from.at = MPI_IN_PLACE;
    const char *why = "what a rank sends is not as long as what it receives from itself";
    if (send != MPI_IN_PLACE) {
        code = view_of(&from, send, send_count * size, send_type, 1);
        if (code != MPI_SUCCESS)
            why = tutti_error_class(code);
        else if (length(&from) != length(&to))
            code = MPI_ERR_COUNT;
    }
    if (code == MPI_SUCCESS && request && (from.copy || to.copy)) code = MPI_ERR_TYPE, why = NO_GAPS;
    if (code == MPI_SUCCESS) {
        why = NULL;
        code = request ? tutti_mpi_ialltoall(from.at, to.at, to.count / size, to.plain, comm, request)
                       : tutti_mpi_alltoall(from.at, to.at, to.count / size, to.plain, comm);
    }
    view_end(&from, 0, -1);
    view_end(&to, code == TUTTI_SUCCESS, -1);
    return code == TUTTI_SUCCESS ? MPI_SUCCESS : raise_error(comm, code, name, why);
}
PUBLIC int MPI_Alltoall(const void *send, int send_count, MPI_Datatype send_type, void *recv, int recv_count,
                        MPI_Datatype recv_type, MPI_Comm comm) {
    return alltoall(send, send_count, send_type, recv, recv_count, recv_type, comm, NULL, __func__);
}
PUBLIC int MPI_Ialltoall(const void *send, int send_count, MPI_Datatype send_type, void *recv, int recv_count,
                         MPI_Datatype recv_type, MPI_Comm comm, MPI_Request *request) {
    return alltoall(send, send_count, send_type, recv, recv_count, recv_type, comm, request, __func__);
}

/* --- Blocks of unequal length ------------------------------------------------------------------ */

/* Blocks as libtutti wants them: where the type has gaps, one behind the other in a copy. */
typedef struct {
    const type *t;
    char *user, *copy;
    void *at;
    tutti_type plain;
    int64_t *counts, *displs;
    const int *user_counts, *user_displs;
    int size;
} blocks;

static int blocks_of(blocks *b, const void *buf, const int counts[], const int displs[], MPI_Datatype handle, int read, int size,
                     const char **why) {
    *b = (blocks){.t = type_of(handle), .user = (char *)buf, .user_counts = counts, .user_displs = displs, .size = size};
    *why = tutti_error_class(MPI_ERR_TYPE);
    if (!b->t) return MPI_ERR_TYPE;
    int64_t each = travels(b->t), total = 0;
    b->plain = b->t->plain;
    b->counts = malloc(2 * (size_t)size * sizeof *b->counts);
    if (!b->counts) abort();
    b->displs = b->counts + size;
    for (int r = 0; r < size; r++) {
        *why = "a count is negative";
        if (counts[r] < 0) return MPI_ERR_COUNT;
        b->counts[r] = (int64_t)counts[r] * b->t->per;
        b->displs[r] = b->t->dense ? (int64_t)displs[r] * b->t->per : total * b->t->per;
        total += counts[r];
    }
    b->at = (char *)buf + b->t->lower;
    if (b->t->dense) return MPI_SUCCESS;
    b->at = b->copy = malloc((size_t)(total * each) + 1);
    if (!b->copy) abort();
    for (int64_t r = 0, at = 0; read && r < size; at += counts[r++] * each)
        pack(b->t, b->user + displs[r] * b->t->extent, counts[r], b->copy + at);
    return MPI_SUCCESS;
}
/* in_bytes counts in bytes, for two sides whose plain elements differ. */
static void in_bytes(blocks *b) {
    type plain = *b->t;
    plain.per = 1;
    int64_t size = travels(&plain);
    for (int r = 0; r < b->size; r++) b->counts[r] *= size, b->displs[r] *= size;
    b->plain = TUTTI_BYTE;
}
static void close_blocks(blocks *b, int write) {
    int64_t each = b->copy ? travels(b->t) : 0;
    for (int64_t r = 0, at = 0; b->copy && write && r < b->size; at += b->user_counts[r++] * each)
        unpack(b->t, b->user + b->user_displs[r] * b->t->extent, b->copy + at, b->user_counts[r] * each);
    free(b->copy);
    free(b->counts);
}

static int gatherv(int everywhere, const void *send, int send_count, MPI_Datatype send_type, void *recv, const int counts[],
                   const int displs[], MPI_Datatype recv_type, int root, MPI_Comm comm, const char *name) {
    blocks b = {0};
    view v = {.at = MPI_IN_PLACE};
    const char *why = NULL;
    int rank, size, code = tutti_mpi_comm_rank(comm, &rank);
    if (code == TUTTI_SUCCESS) code = tutti_mpi_comm_size(comm, &size);
    if (code != TUTTI_SUCCESS) return done(comm, code, name);
    int all = everywhere || rank == root;
    if (all) code = blocks_of(&b, recv, counts, displs, recv_type, send == MPI_IN_PLACE, size, &why);
    if (code == MPI_SUCCESS && send != MPI_IN_PLACE) {
        if ((code = view_of(&v, send, send_count, send_type, 1)) != MPI_SUCCESS) why = tutti_error_class(code);
        if (code == MPI_SUCCESS && all && length(&v) != counts[rank] * travels(b.t))
            code = MPI_ERR_COUNT, why = "what a rank sends is not as long as what it receives from itself";
    }
    if (code == MPI_SUCCESS) {
        int64_t n = all ? b.counts[rank] : v.count;
        tutti_type plain = all ? b.plain : v.plain;
        why = NULL;
        code = everywhere ? tutti_mpi_allgatherv(v.at, n, b.at, b.counts, b.displs, plain, comm)
                          : tutti_mpi_gatherv(v.at, n, b.at, b.counts, b.displs, plain, root, comm);
    }
    view_end(&v, 0, -1);
    close_blocks(&b, code == TUTTI_SUCCESS);
    return code == TUTTI_SUCCESS ? MPI_SUCCESS : raise_error(comm, code, name, why);
}
PUBLIC int MPI_Gatherv(const void *send, int send_count, MPI_Datatype send_type, void *recv, const int counts[],
                       const int displs[], MPI_Datatype recv_type, int root, MPI_Comm comm) {
    return gatherv(0, send, send_count, send_type, recv, counts, displs, recv_type, root, comm, __func__);
}
PUBLIC int MPI_Allgatherv(const void *send, int send_count, MPI_Datatype send_type, void *recv, const int counts[],
                          const int displs[], MPI_Datatype recv_type, MPI_Comm comm) {
    return gatherv(1, send, send_count, send_type, recv, counts, displs, recv_type, 0, comm, __func__);
}
PUBLIC int MPI_Scatterv(const void *send, const int counts[], const int displs[], MPI_Datatype send_type, void *recv,
                        int recv_count, MPI_Datatype recv_type, int root, MPI_Comm comm) {
    blocks b = {0};
    view v = {.at = MPI_IN_PLACE};
    const char *why = NULL;
    int rank, size, code = tutti_mpi_comm_rank(comm, &rank);
    if (code == TUTTI_SUCCESS) code = tutti_mpi_comm_size(comm, &size);
    if (code != TUTTI_SUCCESS) return DONE(comm, code);
    if (rank == root) code = blocks_of(&b, send, counts, displs, send_type, 1, size, &why);
    if (code == MPI_SUCCESS && recv != MPI_IN_PLACE) {
        if ((code = view_of(&v, recv, recv_count, recv_type, 0)) != MPI_SUCCESS) why = tutti_error_class(code);
        if (code == MPI_SUCCESS && rank == root && length(&v) < counts[rank] * travels(b.t))
            code = MPI_ERR_TRUNCATE, why = "the root's own block is longer than its receive buffer";
    }
    if (code == MPI_SUCCESS) {
        int64_t n = rank == root ? b.counts[rank] : v.count;
        why = NULL;
        code = tutti_mpi_scatterv(b.at, b.counts, b.displs, v.at, n, rank == root ? b.plain : v.plain, root, comm);
    }
    view_end(&v, code == TUTTI_SUCCESS, -1);
    close_blocks(&b, 0);
    return code == TUTTI_SUCCESS ? MPI_SUCCESS : raise_error(comm, code, __func__, why);
}
PUBLIC int MPI_Alltoallv(const void *send, const int send_counts[], const int send_displs[], MPI_Datatype send_type, void *recv,
                         const int recv_counts[], const int recv_displs[], MPI_Datatype recv_type, MPI_Comm comm) {
    blocks from = {0}, to = {0};
    const char *why = NULL;
    int size, code = tutti_mpi_comm_size(comm, &size);
    if (code != TUTTI_SUCCESS) return DONE(comm, code);
    code = blocks_of(&to, recv, recv_counts, recv_displs, recv_type, send == MPI_IN_PLACE, size, &why);
    if (code == MPI_SUCCESS && send != MPI_IN_PLACE)
        code = blocks_of(&from, send, send_counts, send_displs, send_type, 1, size, &why);
    if (code == MPI_SUCCESS) {
        why = NULL;
        if (send != MPI_IN_PLACE && from.plain != to.plain) in_bytes(&from), in_bytes(&to);
        code = tutti_mpi_alltoallv(send == MPI_IN_PLACE ? MPI_IN_PLACE : from.at, from.counts, from.displs, to.at, to.counts,
                                   to.displs, to.plain, comm);
    }
    close_blocks(&from, 0);
    close_blocks(&to, code == TUTTI_SUCCESS);
    return code == TUTTI_SUCCESS ? MPI_SUCCESS : raise_error(comm, code, __func__, why);
}
