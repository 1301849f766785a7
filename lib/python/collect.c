/* collect.c: collective operations on buffers, each in a form that waits and one that begins (I...). */
#include "_mpi.h"

PyTypeObject *Op_type;

/* --- Operations of the program ------------------------------------------------------------------ */

static PyObject *raised[3]; /* what an operation raised, until the call that waits for it returns */

static void apply(const void *in, void *inout, int64_t count, tutti_type type, void *context) {
    PyGILState_STATE s = PyGILState_Ensure();
    static const int sizes[] = {0, 1, 2, 4, 8, 1, 2, 4, 8, 4, 8, 8, 16, 1, 16, 16, 16, 16};
    Py_ssize_t bytes = (Py_ssize_t)(count * sizes[type]);
    PyObject *a = PyMemoryView_FromMemory((char *)in, bytes, PyBUF_READ), *b = PyMemoryView_FromMemory(inout, bytes, PyBUF_WRITE);
    PyObject *r = a && b ? PyObject_CallFunction((PyObject *)context, "OOi", a, b, (int)type) : NULL;
    if (!r && raised[0])
        PyErr_Clear();
    else if (!r)
        PyErr_Fetch(&raised[0], &raised[1], &raised[2]);
    Py_XDECREF(a), Py_XDECREF(b), Py_XDECREF(r);
    PyGILState_Release(s);
}

static PyObject *op_make(Op *o, PyObject *const *args, Py_ssize_t n) {
    if (n != 2 || !PyCallable_Check(args[0])) return PyErr_SetString(PyExc_TypeError, "_make(function, commutes)"), NULL;
    o->commutes = PyObject_IsTrue(args[1]);
    int code = lib.tutti_mpi_op_create(apply, o->commutes, args[0], &o->handle);
    if (code == TUTTI_SUCCESS) {
        Py_INCREF(args[0]); /* for good: a call under way may still use it */
        o->function = args[0];
    }
    return done(code);
}

static PyObject *op_free(Op *o, PyObject *Py_UNUSED(ignored)) {
    return o->handle ? done(lib.tutti_mpi_op_free(&o->handle)) : done(TUTTI_SUCCESS);
}

PyMethodDef op_methods[] = {
    {"_make", FASTCALL(op_make), METH_FASTCALL, "Makes an operation of a function of two buffers and a type's number."},
    {"_free", (PyCFunction)op_free, METH_NOARGS, "Gives the operation up."},
    {NULL, NULL, 0, NULL},
};
PyMemberDef op_members[] = {
    {"_handle", T_INT, offsetof(Op, handle), 0, "the number of the operation"}, {NULL, 0, 0, 0, NULL},
};

/* --- Calls -------------------------------------------------------------------------------------- */

enum kind { BARRIER, BCAST, REDUCE, ALLREDUCE, SCAN, EXSCAN, REDUCE_SCATTER, REDUCE_SCATTER_BLOCK,
            GATHER, GATHERV, SCATTER, SCATTERV, ALLGATHER, ALLGATHERV, ALLTOALL, ALLTOALLV };

/* What a call takes, in order; its first `required` must be given. */
static const struct {
    const char *name, *names[5];
    int count, required;
} calls[] = {
    [BARRIER] = {"Barrier", {0}, 0, 0},
    [BCAST] = {"Bcast", {"buf", "root"}, 2, 1},
    [REDUCE] = {"Reduce", {"sendbuf", "recvbuf", "op", "root"}, 4, 2},
    [ALLREDUCE] = {"Allreduce", {"sendbuf", "recvbuf", "op"}, 3, 2},
    [SCAN] = {"Scan", {"sendbuf", "recvbuf", "op"}, 3, 2},
    [EXSCAN] = {"Exscan", {"sendbuf", "recvbuf", "op"}, 3, 2},
    [REDUCE_SCATTER] = {"Reduce_scatter", {"sendbuf", "recvbuf", "recvcounts", "op"}, 4, 2},
    [REDUCE_SCATTER_BLOCK] = {"Reduce_scatter_block", {"sendbuf", "recvbuf", "op"}, 3, 2},
    [GATHER] = {"Gather", {"sendbuf", "recvbuf", "root"}, 3, 2},
    [GATHERV] = {"Gatherv", {"sendbuf", "recvbuf", "root"}, 3, 2},
    [SCATTER] = {"Scatter", {"sendbuf", "recvbuf", "root"}, 3, 2},
    [SCATTERV] = {"Scatterv", {"sendbuf", "recvbuf", "root"}, 3, 2},
    [ALLGATHER] = {"Allgather", {"sendbuf", "recvbuf"}, 2, 2},
    [ALLGATHERV] = {"Allgatherv", {"sendbuf", "recvbuf"}, 2, 2},
    [ALLTOALL] = {"Alltoall", {"sendbuf", "recvbuf"}, 2, 2},
    [ALLTOALLV] = {"Alltoallv", {"sendbuf", "recvbuf"}, 2, 2},
};

/* A call with its arguments understood. */
typedef struct {
    enum kind kind;
    int root, rank, size;
    tutti_op op;
    int64_t count;
    int64_t *counts; /* of reduce_scatter */
    Buffer send, recv;
} Call;

static int is_reduction(enum kind k) { return k >= REDUCE && k <= REDUCE_SCATTER_BLOCK; }

/* sides takes the two buffers: how many blocks each holds depends on the call and the rank. */
static int sides(Call *c, PyObject *send, PyObject *recv) {
    int n = c->size, here = c->rank == c->root, out = 0, in = 0, vout = 0, vin = 0;
    switch (c->kind) {
    case GATHER: in = n; break;
    case GATHERV: in = n, vin = 1; break;
    case SCATTER: out = n; break;
    case SCATTERV: out = n, vout = 1; break;
    case ALLGATHER: in = n; break;
    case ALLGATHERV: in = n, vin = 1; break;
    case ALLTOALL: out = in = n; break;
    case ALLTOALLV: out = in = n, vout = vin = 1; break;
    default: break;
    }
    int rooted = c->kind == GATHER || c->kind == GATHERV || c->kind == REDUCE, from = c->kind == SCATTER || c->kind == SCATTERV;
    if (buffer_take(&c->send, from && !here ? Py_None : send, READ, out, vout && (!from || here)) < 0) return -1;
    if (buffer_take(&c->recv, rooted && !here ? Py_None : recv, WRITE, in, vin && (!rooted || here)) < 0) return -1;
    return buffers_agree(&c->send, &c->recv);
}

static int mismatch(const Call *c, int64_t has, int64_t wants) {
    PyErr_Format(PyExc_ValueError, "%s on rank %d: one buffer is of %lld elements for each rank, the other of %lld: they must be equal",
                 calls[c->kind].name, c->rank, (long long)has, (long long)wants);
    return -1;
}

/* lengths finds how many elements the call is about. */
static int lengths(Call *c) {
    Buffer *s = &c->send, *r = &c->recv;
    int there = s->held && s->ptr != TUTTI_IN_PLACE, here = r->held && r->ptr != TUTTI_IN_PLACE;
    switch (c->kind) {
    case GATHERV:
    case ALLGATHERV:
        c->count = there ? s->count : r->counts && s->ptr == TUTTI_IN_PLACE ? r->counts[c->rank] : s->count;
        return 0;
    case SCATTERV:
        c->count = here ? r->count : s->counts && r->ptr == TUTTI_IN_PLACE ? s->counts[c->rank] : r->count;
        return 0;
    case REDUCE_SCATTER_BLOCK:
        c->count = r->count;
        if (s->ptr == TUTTI_IN_PLACE) {
            if (r->count % c->size) return mismatch(c, r->count, r->count / c->size * c->size);
            c->count = r->count / c->size;
        } else if (s->count != r->count * c->size) {
            return mismatch(c, s->count / c->size, r->count);
        }
        return 0;
    case SCATTER:
        c->count = here ? r->count : s->count;
        return here && there && s->count != r->count ? mismatch(c, s->count, r->count) : 0;
    case EXSCAN:
        if (c->rank == 0 && !here) return c->count = s->count, 0;
        break;
    default: break;
    }
    c->count = there ? s->count : r->count;
    if (c->kind == REDUCE_SCATTER || (c->kind == REDUCE && c->rank != c->root)) return 0;
    return there && here && s->count != r->count ? mismatch(c, s->count, r->count) : 0;
}

/* shares finds the counts of a reduce_scatter: as given, or by asking all ranks for the room they have. */
static int shares(Call *c, Comm *comm, PyObject *given) {
    c->counts = PyMem_Malloc(sizeof(int64_t) * (size_t)c->size);
    if (!c->counts) return PyErr_NoMemory(), -1;
    int64_t all = 0, have = c->send.ptr == TUTTI_IN_PLACE ? c->recv.count : c->send.count;
    if (!given || given == Py_None) {
        int64_t mine = c->send.ptr == TUTTI_IN_PLACE ? c->recv.count / c->size : c->recv.count;
        int code;
        GO(code, lib.tutti_mpi_allgather(&mine, c->counts, 1, TUTTI_INT64, comm->handle));
        if (code != TUTTI_SUCCESS) return fail(code), -1;
    } else {
        if (PySequence_Size(given) != c->size) {
            if (!PyErr_Occurred()) PyErr_Format(PyExc_ValueError, "Reduce_scatter needs %d counts", c->size);
            return -1;
        }
        for (int i = 0; i < c->size; i++) {
            PyObject *x = PySequence_GetItem(given, i);
            c->counts[i] = x ? PyLong_AsLongLong(x) : -1;
            Py_XDECREF(x);
            if (PyErr_Occurred()) return -1;
        }
    }
    for (int i = 0; i < c->size; i++) all += c->counts[i] < 0 ? INT32_MIN : c->counts[i];
    if (all != have || (c->send.ptr != TUTTI_IN_PLACE && c->counts[c->rank] > c->recv.count)) {
        PyErr_Format(PyExc_ValueError, "Reduce_scatter: the counts say %lld elements in all, the buffer has %lld", (long long)all, (long long)have);
        return -1;
    }
    return 0;
}

static int wait_for(const Call *c, tutti_comm h) {
    const Buffer *s = &c->send, *r = &c->recv;
    switch (c->kind) {
    case BARRIER: return lib.tutti_mpi_barrier(h);
    case BCAST: return lib.tutti_mpi_bcast(r->ptr, r->count, r->type, c->root, h);
    case REDUCE: return lib.tutti_mpi_reduce(s->ptr, r->ptr, c->count, s->type, c->op, c->root, h);
    case ALLREDUCE: return lib.tutti_mpi_allreduce(s->ptr, r->ptr, c->count, s->type, c->op, h);
    case SCAN: return lib.tutti_mpi_scan(s->ptr, r->ptr, c->count, s->type, c->op, h);
    case EXSCAN: return lib.tutti_mpi_exscan(s->ptr, r->ptr, c->count, s->type, c->op, h);
    case REDUCE_SCATTER: return lib.tutti_mpi_reduce_scatter(s->ptr, r->ptr, c->counts, s->type, c->op, h);
    case REDUCE_SCATTER_BLOCK: return lib.tutti_mpi_reduce_scatter_block(s->ptr, r->ptr, c->count, s->type, c->op, h);
    case GATHER: return lib.tutti_mpi_gather(s->ptr, r->ptr, c->count, s->type, c->root, h);
    case GATHERV: return lib.tutti_mpi_gatherv(s->ptr, c->count, r->ptr, r->counts, r->displs, s->type, c->root, h);
    case SCATTER: return lib.tutti_mpi_scatter(s->ptr, r->ptr, c->count, s->type, c->root, h);
    case SCATTERV: return lib.tutti_mpi_scatterv(s->ptr, s->counts, s->displs, r->ptr, c->count, r->type, c->root, h);
    case ALLGATHER: return lib.tutti_mpi_allgather(s->ptr, r->ptr, c->count, s->type, h);
    case ALLGATHERV: return lib.tutti_mpi_allgatherv(s->ptr, c->count, r->ptr, r->counts, r->displs, s->type, h);
    case ALLTOALL: return lib.tutti_mpi_alltoall(s->ptr, r->ptr, c->count, s->type, h);
    case ALLTOALLV: return lib.tutti_mpi_alltoallv(s->ptr, s->counts, s->displs, r->ptr, r->counts, r->displs, s->type, h);
    }
    return TUTTI_ERR_INTERN;
}

static int begin(const Call *c, tutti_comm h, tutti_request *q) {
    const Buffer *s = &c->send, *r = &c->recv;
    switch (c->kind) {
    case BARRIER: return lib.tutti_mpi_ibarrier(h, q);
    case BCAST: return lib.tutti_mpi_ibcast(r->ptr, r->count, r->type, c->root, h, q);
    case REDUCE: return lib.tutti_mpi_ireduce(s->ptr, r->ptr, c->count, s->type, c->op, c->root, h, q);
    case ALLREDUCE: return lib.tutti_mpi_iallreduce(s->ptr, r->ptr, c->count, s->type, c->op, h, q);
    case SCAN: return lib.tutti_mpi_iscan(s->ptr, r->ptr, c->count, s->type, c->op, h, q);
    case EXSCAN: return lib.tutti_mpi_iexscan(s->ptr, r->ptr, c->count, s->type, c->op, h, q);
    case REDUCE_SCATTER: return lib.tutti_mpi_ireduce_scatter(s->ptr, r->ptr, c->counts, s->type, c->op, h, q);
    case REDUCE_SCATTER_BLOCK: return lib.tutti_mpi_ireduce_scatter_block(s->ptr, r->ptr, c->count, s->type, c->op, h, q);
    case GATHER: return lib.tutti_mpi_igather(s->ptr, r->ptr, c->count, s->type, c->root, h, q);
    case GATHERV: return lib.tutti_mpi_igatherv(s->ptr, c->count, r->ptr, r->counts, r->displs, s->type, c->root, h, q);
    case SCATTER: return lib.tutti_mpi_iscatter(s->ptr, r->ptr, c->count, s->type, c->root, h, q);
    case SCATTERV: return lib.tutti_mpi_iscatterv(s->ptr, s->counts, s->displs, r->ptr, c->count, r->type, c->root, h, q);
    case ALLGATHER: return lib.tutti_mpi_iallgather(s->ptr, r->ptr, c->count, s->type, h, q);
    case ALLGATHERV: return lib.tutti_mpi_iallgatherv(s->ptr, c->count, r->ptr, r->counts, r->displs, s->type, h, q);
    case ALLTOALL: return lib.tutti_mpi_ialltoall(s->ptr, r->ptr, c->count, s->type, h, q);
    case ALLTOALLV: return lib.tutti_mpi_ialltoallv(s->ptr, s->counts, s->displs, r->ptr, r->counts, r->displs, s->type, h, q);
    }
    return TUTTI_ERR_INTERN;
}

/* take understands the arguments of a call. */
static int take(Call *c, Comm *comm, PyObject **a) {
    int bad = 0;
    PyObject *op = NULL, *root = NULL;
    if (comm_shape(comm) < 0) return -1;
    c->rank = comm->rank, c->size = comm->size, c->root = -1;
    switch (c->kind) {
    case BARRIER: return 0;
    case BCAST:
        c->root = int_or(a[1], 0, &bad);
        return bad ? -1 : buffer_take(&c->recv, a[0], c->root == c->rank ? READ : WRITE, 0, 0);
    case REDUCE: op = a[2], root = a[3]; break;
    case REDUCE_SCATTER: op = a[3]; break;
    case ALLREDUCE: case SCAN: case EXSCAN: case REDUCE_SCATTER_BLOCK: op = a[2]; break;
    case GATHER: case GATHERV: case SCATTER: case SCATTERV: root = a[2]; break;
    default: break;
    }
    if (c->kind == REDUCE || root || (c->kind >= GATHER && c->kind <= SCATTERV)) c->root = int_or(root, 0, &bad);
    if (bad) return -1;
    if (is_reduction(c->kind)) {
        c->op = TUTTI_SUM;
        if (op && !PyObject_TypeCheck(op, Op_type)) return PyErr_Format(PyExc_TypeError, "an Op is wanted, not %R", op), -1;
        if (op) c->op = ((Op *)op)->handle;
    }
    if (sides(c, a[0], a[1]) < 0 || lengths(c) < 0) return -1;
    return c->kind == REDUCE_SCATTER ? shares(c, comm, a[2]) : 0;
}

static void drop(Call *c, int filled, int *bad) {
    if (buffer_give(&c->recv, filled) < 0) *bad = 1;
    buffer_give(&c->send, 0);
    PyMem_Free(c->counts);
}

static PyObject *waiting(enum kind k, Comm *comm, PyObject *const *args, Py_ssize_t n, PyObject *kw) {
    PyObject *a[5];
    if (arguments(calls[k].name, args, n, kw, calls[k].names, calls[k].count, calls[k].required, a) < 0) return NULL;
    Call c = {.kind = k};
    int bad = 0, code;
    if (take(&c, comm, a) < 0) return drop(&c, 0, &bad), NULL;
    GO(code, wait_for(&c, comm->handle));
    drop(&c, code == TUTTI_SUCCESS, &bad);
    if (raised[0]) {
        PyErr_Restore(raised[0], raised[1], raised[2]);
        return raised[0] = raised[1] = raised[2] = NULL, NULL;
    }
    if (code != TUTTI_SUCCESS) return fail(code);
    if (bad) return NULL;
    Py_RETURN_NONE;
}

static PyObject *beginning(enum kind k, Comm *comm, PyObject *const *args, Py_ssize_t n, PyObject *kw) {
    PyObject *a[5];
    if (arguments(calls[k].name, args, n, kw, calls[k].names, calls[k].count, calls[k].required, a) < 0) return NULL;
    Call c = {.kind = k};
    int bad = 0, code;
    Request *r = request_new();
    if (!r || take(&c, comm, a) < 0) {
        Py_XDECREF((PyObject *)r);
        return drop(&c, 0, &bad), NULL;
    }
    GO(code, begin(&c, comm->handle, &r->handle));
    if (code != TUTTI_SUCCESS) {
        fail(code);
        Py_DECREF(r);
        return drop(&c, 0, &bad), NULL;
    }
    r->send = c.send, r->recv = c.recv; /* the counts of reduce_scatter are read at once */
    PyMem_Free(c.counts);
    return (PyObject *)r;
}

#define BOTH(KIND, word) \
    static PyObject *word(Comm *c, PyObject *const *args, Py_ssize_t n, PyObject *kw) { return waiting(KIND, c, args, n, kw); } \
    static PyObject *i##word(Comm *c, PyObject *const *args, Py_ssize_t n, PyObject *kw) { return beginning(KIND, c, args, n, kw); }
BOTH(BARRIER, barrier)
BOTH(BCAST, bcast)
BOTH(REDUCE, reduce)
BOTH(ALLREDUCE, allreduce)
BOTH(SCAN, scan)
BOTH(EXSCAN, exscan)
BOTH(REDUCE_SCATTER, reduce_scatter)
BOTH(REDUCE_SCATTER_BLOCK, reduce_scatter_block)
BOTH(GATHER, gather)
BOTH(GATHERV, gatherv)
BOTH(SCATTER, scatter)
BOTH(SCATTERV, scatterv)
BOTH(ALLGATHER, allgather)
BOTH(ALLGATHERV, allgatherv)
BOTH(ALLTOALL, alltoall)
BOTH(ALLTOALLV, alltoallv)

#define ROWS(Name, IName, word, arguments, what) \
    {Name, FASTCALL(word), FAST, Name arguments ": " what}, {IName, FASTCALL(i##word), FAST, IName arguments ": begins " Name "; gives a Request."}
PyMethodDef collect_methods[] = {
    ROWS("Barrier", "Ibarrier", barrier, "()", "returns when all ranks have called it."),
    ROWS("Bcast", "Ibcast", bcast, "(buf, root=0)", "gives all ranks the root's buffer."),
    ROWS("Reduce", "Ireduce", reduce, "(sendbuf, recvbuf, op=SUM, root=0)", "combines all ranks' buffers on the root."),
    ROWS("Allreduce", "Iallreduce", allreduce, "(sendbuf, recvbuf, op=SUM)", "combines all ranks' buffers on all."),
    ROWS("Scan", "Iscan", scan, "(sendbuf, recvbuf, op=SUM)", "combines the buffers of ranks up to this one."),
    ROWS("Exscan", "Iexscan", exscan, "(sendbuf, recvbuf, op=SUM)", "combines the buffers of ranks before this one."),
    ROWS("Reduce_scatter", "Ireduce_scatter", reduce_scatter, "(sendbuf, recvbuf, recvcounts=None, op=SUM)",
         "combines, and gives each rank its part."),
    ROWS("Reduce_scatter_block", "Ireduce_scatter_block", reduce_scatter_block, "(sendbuf, recvbuf, op=SUM)",
         "combines, and gives each rank an equal part."),
    ROWS("Gather", "Igather", gather, "(sendbuf, recvbuf, root=0)", "brings equal blocks to the root."),
    ROWS("Gatherv", "Igatherv", gatherv, "(sendbuf, recvbuf, root=0)", "brings blocks to the root."),
    ROWS("Scatter", "Iscatter", scatter, "(sendbuf, recvbuf, root=0)", "gives each rank its block of the root's."),
    ROWS("Scatterv", "Iscatterv", scatterv, "(sendbuf, recvbuf, root=0)", "gives each rank its block of the root's."),
    ROWS("Allgather", "Iallgather", allgather, "(sendbuf, recvbuf)", "brings equal blocks to all."),
    ROWS("Allgatherv", "Iallgatherv", allgatherv, "(sendbuf, recvbuf)", "brings blocks to all."),
    ROWS("Alltoall", "Ialltoall", alltoall, "(sendbuf, recvbuf)", "gives rank r the r-th block, and gets one of each."),
    ROWS("Alltoallv", "Ialltoallv", alltoallv, "(sendbuf, recvbuf)", "is Alltoall of blocks that differ."),
    {NULL, NULL, 0, NULL},
};
