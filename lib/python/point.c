/* point.c: messages of buffers from one rank to another. */
#include "_mpi.h"

#include <string.h>

PyTypeObject *Comm_type;

int arguments(const char *function, PyObject *const *args, Py_ssize_t n, PyObject *kw, const char *const *names,
              int count, int required, PyObject **out) {
    if (n > count) {
        PyErr_Format(PyExc_TypeError, "%s() takes at most %d arguments, %zd are given", function, count, n);
        return -1;
    }
    for (Py_ssize_t i = 0; i < count; i++) out[i] = i < n ? args[i] : NULL;
    Py_ssize_t named = kw ? PyTuple_Size(kw) : 0;
    for (Py_ssize_t k = 0; k < named; k++) {
        PyObject *name = PyTuple_GetItem(kw, k);
        int i = 0;
        while (i < count && PyUnicode_CompareWithASCIIString(name, names[i]) != 0) i++;
        if (i == count || out[i]) {
            PyErr_Format(PyExc_TypeError, i == count ? "%s() has no argument %R" : "%s() got %R twice", function, name);
            return -1;
        }
        out[i] = args[n + k];
    }
    for (int i = 0; i < required; i++) {
        if (!out[i]) {
            PyErr_Format(PyExc_TypeError, "%s() misses the argument '%s'", function, names[i]);
            return -1;
        }
    }
    return 0;
}

int int_or(PyObject *o, int fallback, int *bad) {
    if (!o) return fallback;
    long v = PyLong_AsLong(o);
    if (v == -1 && PyErr_Occurred()) return *bad = 1, 0;
    if (v != (int)v) {
        PyErr_SetString(PyExc_OverflowError, "a rank, tag or count does not fit 32 bits");
        return *bad = 1, 0;
    }
    return (int)v;
}

int comm_shape(Comm *c) {
    if (c->size >= 0) return 0;
    int rank, size, code = lib.tutti_mpi_comm_rank(c->handle, &rank);
    if (code == 0) code = lib.tutti_mpi_comm_size(c->handle, &size);
    if (code != 0) {
        fail(code);
        return -1;
    }
    c->rank = rank, c->size = size;
    return 0;
}

static PyObject *send_with(Comm *c, const char *name, int sync, PyObject *const *args, Py_ssize_t n, PyObject *kw) {
    static const char *const names[] = {"buf", "dest", "tag"};
    PyObject *a[3];
    if (arguments(name, args, n, kw, names, 3, 2, a) < 0) return NULL;
    int bad = 0, to = int_or(a[1], 0, &bad), tag = int_or(a[2], 0, &bad), code = TUTTI_PENDING;
    Buffer b;
    if (bad || buffer_take(&b, a[0], READ, 0, 0) < 0) return NULL;
    if (!sync) code = lib.tutti_mpi_try_send(b.ptr, b.count, b.type, to, tag, c->handle);
    if (code == TUTTI_PENDING) {
        if (sync)
            GO(code, lib.tutti_mpi_ssend(b.ptr, b.count, b.type, to, tag, c->handle));
        else
            GO(code, lib.tutti_mpi_send(b.ptr, b.count, b.type, to, tag, c->handle));
    }
    buffer_give(&b, 0);
    return done(code);
}

static PyObject *comm_send(Comm *c, PyObject *const *args, Py_ssize_t n, PyObject *kw) { return send_with(c, "Send", 0, args, n, kw); }
static PyObject *comm_ssend(Comm *c, PyObject *const *args, Py_ssize_t n, PyObject *kw) { return send_with(c, "Ssend", 1, args, n, kw); }

/* received ends a blocking receive. */
static PyObject *received(Buffer *b, int code, PyObject *status, const tutti_status *st) {
    int bad = buffer_give(b, code == TUTTI_SUCCESS || code == TUTTI_ERR_TRUNCATE) < 0;
    if (code == TUTTI_SUCCESS || code == TUTTI_ERR_TRUNCATE) bad = status_put(status, st) < 0 || bad;
    if (code != TUTTI_SUCCESS) return fail(code);
    if (bad) return NULL;
    Py_RETURN_NONE;
}

static PyObject *comm_recv(Comm *c, PyObject *const *args, Py_ssize_t n, PyObject *kw) {
    static const char *const names[] = {"buf", "source", "tag", "status"};
    PyObject *a[4];
    if (arguments("Recv", args, n, kw, names, 4, 1, a) < 0) return NULL;
    int bad = 0, from = int_or(a[1], TUTTI_ANY_SOURCE, &bad), tag = int_or(a[2], TUTTI_ANY_TAG, &bad);
    Buffer b;
    if (bad || status_check(a[3]) < 0 || buffer_take(&b, a[0], WRITE, 0, 0) < 0) return NULL;
    tutti_status st = {0};
    int code = lib.tutti_mpi_try_recv(b.ptr, b.count, b.type, from, tag, c->handle, &st, SPINS);
    if (code == TUTTI_PENDING) GO(code, lib.tutti_mpi_recv(b.ptr, b.count, b.type, from, tag, c->handle, &st));
    return received(&b, code, a[3], &st);
}

static PyObject *comm_sendrecv(Comm *c, PyObject *const *args, Py_ssize_t n, PyObject *kw) {
    static const char *const names[] = {"sendbuf", "dest", "sendtag", "recvbuf", "source", "recvtag", "status"};
    PyObject *a[7];
    if (arguments("Sendrecv", args, n, kw, names, 7, 2, a) < 0) return NULL;
    int bad = 0, to = int_or(a[1], 0, &bad), sendtag = int_or(a[2], 0, &bad);
    int from = int_or(a[4], TUTTI_ANY_SOURCE, &bad), recvtag = int_or(a[5], TUTTI_ANY_TAG, &bad), code;
    Buffer out, in;
    if (bad || status_check(a[6]) < 0 || buffer_take(&out, a[0], READ, 0, 0) < 0) return NULL;
    if (buffer_take(&in, a[3], WRITE, 0, 0) < 0) return buffer_give(&out, 0), NULL;
    tutti_status st = {0};
    GO(code, lib.tutti_mpi_sendrecv(out.ptr, out.count, out.type, to, sendtag, in.ptr, in.count, in.type, from, recvtag, c->handle, &st));
    buffer_give(&out, 0);
    return received(&in, code, a[6], &st);
}

static PyObject *comm_sendrecv_replace(Comm *c, PyObject *const *args, Py_ssize_t n, PyObject *kw) {
    static const char *const names[] = {"buf", "dest", "sendtag", "source", "recvtag", "status"};
    PyObject *a[6];
    if (arguments("Sendrecv_replace", args, n, kw, names, 6, 2, a) < 0) return NULL;
    int bad = 0, to = int_or(a[1], 0, &bad), sendtag = int_or(a[2], 0, &bad);
    int from = int_or(a[3], TUTTI_ANY_SOURCE, &bad), recvtag = int_or(a[4], TUTTI_ANY_TAG, &bad), code;
    Buffer b;
    if (bad || status_check(a[5]) < 0 || buffer_take(&b, a[0], WRITE, 0, 0) < 0) return NULL;
    size_t bytes = (size_t)(b.count * b.size);
    void *out = PyMem_Malloc(bytes ? bytes : 1);
    if (!out) return buffer_give(&b, 0), PyErr_NoMemory();
    if (bytes) memcpy(out, b.ptr, bytes);
    tutti_status st = {0};
    GO(code, lib.tutti_mpi_sendrecv(out, b.count, b.type, to, sendtag, b.ptr, b.count, b.type, from, recvtag, c->handle, &st));
    PyMem_Free(out);
    return received(&b, code, a[5], &st);
}

static PyObject *isend_with(Comm *c, const char *name, int sync, PyObject *const *args, Py_ssize_t n, PyObject *kw) {
    static const char *const names[] = {"buf", "dest", "tag"};
    PyObject *a[3];
    if (arguments(name, args, n, kw, names, 3, 2, a) < 0) return NULL;
    int bad = 0, to = int_or(a[1], 0, &bad), tag = int_or(a[2], 0, &bad), code;
    if (bad) return NULL;
    Request *r = request_new();
    if (!r) return NULL;
    Buffer *b = &r->send;
    if (buffer_take(b, a[0], READ, 0, 0) < 0) return Py_DECREF(r), NULL;
    if (sync)
        GO(code, lib.tutti_mpi_issend(b->ptr, b->count, b->type, to, tag, c->handle, &r->handle));
    else
        GO(code, lib.tutti_mpi_isend(b->ptr, b->count, b->type, to, tag, c->handle, &r->handle));
    if (code != TUTTI_SUCCESS) return fail(code), Py_DECREF(r), NULL;
    return (PyObject *)r;
}

static PyObject *comm_isend(Comm *c, PyObject *const *args, Py_ssize_t n, PyObject *kw) { return isend_with(c, "Isend", 0, args, n, kw); }
static PyObject *comm_issend(Comm *c, PyObject *const *args, Py_ssize_t n, PyObject *kw) { return isend_with(c, "Issend", 1, args, n, kw); }

static PyObject *comm_irecv(Comm *c, PyObject *const *args, Py_ssize_t n, PyObject *kw) {
    static const char *const names[] = {"buf", "source", "tag"};
    PyObject *a[3];
    if (arguments("Irecv", args, n, kw, names, 3, 1, a) < 0) return NULL;
    int bad = 0, from = int_or(a[1], TUTTI_ANY_SOURCE, &bad), tag = int_or(a[2], TUTTI_ANY_TAG, &bad), code;
    if (bad) return NULL;
    Request *r = request_new();
    if (!r) return NULL;
    Buffer *b = &r->recv;
    if (buffer_take(b, a[0], WRITE, 0, 0) < 0) return Py_DECREF(r), NULL;
    GO(code, lib.tutti_mpi_irecv(b->ptr, b->count, b->type, from, tag, c->handle, &r->handle));
    if (code != TUTTI_SUCCESS) return fail(code), Py_DECREF(r), NULL;
    return (PyObject *)r;
}

static PyObject *probe_with(Comm *c, const char *name, int block, PyObject *const *args, Py_ssize_t n, PyObject *kw) {
    static const char *const names[] = {"source", "tag", "status"};
    PyObject *a[3];
    if (arguments(name, args, n, kw, names, 3, 0, a) < 0) return NULL;
    int bad = 0, from = int_or(a[0], TUTTI_ANY_SOURCE, &bad), tag = int_or(a[1], TUTTI_ANY_TAG, &bad), flag = 1, code;
    if (bad) return NULL;
    tutti_status st;
    if (block)
        GO(code, lib.tutti_mpi_probe(from, tag, c->handle, &st));
    else
        GO(code, lib.tutti_mpi_iprobe(from, tag, c->handle, &flag, &st));
    if (code != TUTTI_SUCCESS) return fail(code);
    if (flag && status_put(a[2], &st) < 0) return NULL;
    return PyBool_FromLong(flag);
}

static PyObject *comm_probe(Comm *c, PyObject *const *args, Py_ssize_t n, PyObject *kw) { return probe_with(c, "Probe", 1, args, n, kw); }
static PyObject *comm_iprobe(Comm *c, PyObject *const *args, Py_ssize_t n, PyObject *kw) { return probe_with(c, "Iprobe", 0, args, n, kw); }

/* mprobe_with makes an object of class Message (the argument "into" of the Python side), or None. */
static PyObject *mprobe_with(Comm *c, const char *name, int block, PyObject *const *args, Py_ssize_t n, PyObject *kw) {
    static const char *const names[] = {"source", "tag", "status", "into"};
    PyObject *a[4];
    if (arguments(name, args, n, kw, names, 4, 0, a) < 0) return NULL;
    int bad = 0, from = int_or(a[0], TUTTI_ANY_SOURCE, &bad), tag = int_or(a[1], TUTTI_ANY_TAG, &bad), flag = 1, code;
    if (bad) return NULL;
    PyObject *o = PyObject_CallObject(a[3] ? a[3] : Message_class, NULL);
    if (!o) return NULL;
    if (!PyObject_TypeCheck(o, Message_type)) return Py_DECREF(o), PyErr_SetString(PyExc_TypeError, "into must be a Message class"), NULL;
    Message *m = (Message *)o;
    if (block)
        GO(code, lib.tutti_mpi_mprobe(from, tag, c->handle, &m->handle, &m->st));
    else
        GO(code, lib.tutti_mpi_improbe(from, tag, c->handle, &flag, &m->handle, &m->st));
    if (code != TUTTI_SUCCESS) return fail(code), Py_DECREF(o), NULL;
    if (!flag) {
        Py_DECREF(o);
        Py_RETURN_NONE;
    }
    if (status_put(a[2], &m->st) < 0) return Py_DECREF(o), NULL;
    return o;
}

static PyObject *comm_mprobe(Comm *c, PyObject *const *args, Py_ssize_t n, PyObject *kw) { return mprobe_with(c, "Mprobe", 1, args, n, kw); }
static PyObject *comm_improbe(Comm *c, PyObject *const *args, Py_ssize_t n, PyObject *kw) { return mprobe_with(c, "Improbe", 0, args, n, kw); }

PyMethodDef point_methods[] = {
    {"Send", FASTCALL(comm_send), FAST, "Send(buf, dest, tag=0): sends a buffer; returns when it may be used again."},
    {"Ssend", FASTCALL(comm_ssend), FAST, "Ssend(buf, dest, tag=0): Send that returns when the receive has begun."},
    {"Recv", FASTCALL(comm_recv), FAST, "Recv(buf, source=ANY_SOURCE, tag=ANY_TAG, status=None): receives into a buffer, which may be longer than the message."},
    {"Sendrecv", FASTCALL(comm_sendrecv), FAST,
     "Sendrecv(sendbuf, dest, sendtag=0, recvbuf=None, source=ANY_SOURCE, recvtag=ANY_TAG, status=None): both at once."},
    {"Sendrecv_replace", FASTCALL(comm_sendrecv_replace), FAST,
     "Sendrecv_replace(buf, dest, sendtag=0, source=ANY_SOURCE, recvtag=ANY_TAG, status=None): sends a buffer and receives into it."},
    {"Isend", FASTCALL(comm_isend), FAST, "Begins a Send."},
    {"Issend", FASTCALL(comm_issend), FAST, "Begins an Ssend."},
    {"Irecv", FASTCALL(comm_irecv), FAST, "Begins a Recv."},
    {"Probe", FASTCALL(comm_probe), FAST, "Waits until there is a message."},
    {"Iprobe", FASTCALL(comm_iprobe), FAST, "Says whether there is a message."},
    {"_mprobe", FASTCALL(comm_mprobe), FAST, "Sets a message aside."},
    {"_improbe", FASTCALL(comm_improbe), FAST, "Sets a message aside if there is one."},
    {NULL, NULL, 0, NULL},
};
