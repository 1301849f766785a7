/* object.c: messages that carry any Python object.
 *
 * A message has a head of 8 bytes: a mark, the kind of object, flags, and the number of parts. None, truth values,
 * short integers, floats, strings and bytes are written as they are; everything else is pickled with
 * protocol 5, the parts being the pickle and the buffers it leaves out (the memory of arrays). Parts that are
 * short together follow in the same message; otherwise each is a message of its own, sent from where
 * it lies and received where it will stay, under a tag that only its sender uses, above those of programs. */
#include "_mpi.h"

#include <stdlib.h>
#include <string.h>

enum { MARK = 0xd5, SHORT = 16000, ALIGN = 16 };
enum what { PICKLE, NONE, TRUE, FALSE, INT, FLOAT, STR, BYTES, BYTEARRAY, WHATS };
enum { APART = 1, LAID = 2 }; /* lengths follow, and parts come as messages of their own, or behind them */

typedef struct {
    uint8_t mark, what, flags, spare;
    uint32_t parts;
} Head;

static PyObject *dumps, *loads, *dumps_options, *loads_word;
static int out_of_band;
static _Thread_local PyObject *left_out; /* where the pickle under way puts buffers */

static PyObject *leave_out(PyObject *Py_UNUSED(self), PyObject *buffer) {
    if (left_out && PyList_Append(left_out, buffer) < 0) return NULL;
    Py_RETURN_NONE;
}
static PyMethodDef leave_out_def = {"leave_out", leave_out, METH_O, "Takes a buffer that a pickle leaves out."};

/* set_pickle(dumps, loads, own): own says that both understand protocol 5's buffers. */
static PyObject *set_pickle(PyObject *Py_UNUSED(m), PyObject *const *args, Py_ssize_t n) {
    if (n != 3) return PyErr_SetString(PyExc_TypeError, "set_pickle(dumps, loads, options)"), NULL;
    Py_XDECREF(dumps), Py_XDECREF(loads), Py_XDECREF(dumps_options);
    Py_INCREF(args[0]), Py_INCREF(args[1]);
    dumps = args[0], loads = args[1], dumps_options = PyDict_New();
    out_of_band = PyObject_IsTrue(args[2]);
    if (!loads_word) loads_word = PyUnicode_InternFromString("buffers");
    PyObject *f = PyCFunction_NewEx(&leave_out_def, NULL, NULL), *five = PyLong_FromLong(5);
    int bad = !dumps_options || !f || !five ||
              (out_of_band && (PyDict_SetItemString(dumps_options, "protocol", five) < 0 || PyDict_SetItemString(dumps_options, "buffer_callback", f) < 0));
    Py_XDECREF(f), Py_XDECREF(five);
    if (bad) return NULL;
    Py_RETURN_NONE;
}

/* --- Writing ------------------------------------------------------------------------------------ */

/* An object ready to be sent. */
typedef struct {
    char buf[SHORT + 64];
    char *head; /* buf, or memory of its own */
    int64_t size;
    PyObject *parts; /* list of those that go apart; NULL: all is in head */
} Wire;

static void wire_free(Wire *w) {
    if (w->head != w->buf) PyMem_Free(w->head);
    Py_CLEAR(w->parts);
}

static int64_t aligned(int64_t n) { return (n + ALIGN - 1) / ALIGN * ALIGN; }

/* plain writes a message with one part of n bytes at p. */
static void plain(Wire *w, enum what what, const void *p, size_t n) {
    Head h = {MARK, (uint8_t)what, 0, 0, 1};
    memcpy(w->buf, &h, sizeof h);
    if (n) memcpy(w->buf + sizeof h, p, n);
    w->size = (int64_t)(sizeof h + n);
}

/* tag_of gives the tag for the parts of the next message. It differs between senders and, for a long time,
 * between messages of one sender. */
static int tag_of(Comm *c, int64_t *tag) {
    static uint64_t turn;
    int64_t ub;
    int code = lib.tutti_mpi_tag_ub(c->handle, &ub);
    if (code != TUTTI_SUCCESS) return fail(code), -1;
    if (comm_shape(c) < 0) return -1;
    uint64_t room = (uint64_t)(ub / 2) / (uint64_t)c->size;
    *tag = ub / 2 + 1 + (int64_t)((uint64_t)c->rank * room + turn++ % room);
    return 0;
}

/* lay puts parts into one message, or announces them. Each is a list item with memory. */
static int lay(Wire *w, Comm *c, enum what what, PyObject *list) {
    Py_ssize_t n = PyList_Size(list);
    if (n == 1 && PyBytes_Check(PyList_GetItem(list, 0)) && PyBytes_Size(PyList_GetItem(list, 0)) <= SHORT) {
        PyObject *o = PyList_GetItem(list, 0);
        return plain(w, what, PyBytes_AsString(o), (size_t)PyBytes_Size(o)), 0;
    }
    int64_t head = (int64_t)sizeof(Head) + 8 * (n + 1), all = aligned(head), tag = 0;
    Py_buffer *v = PyMem_Calloc((size_t)n, sizeof *v);
    if (!v) return PyErr_NoMemory(), -1;
    Py_ssize_t got = 0;
    for (; got < n; got++) {
        if (PyObject_GetBuffer(PyList_GetItem(list, got), &v[got], PyBUF_ANY_CONTIGUOUS) < 0) goto end;
        all += aligned(v[got].len);
    }
    int apart = all > SHORT;
    int64_t size = apart ? head : all;
    if (apart && tag_of(c, &tag) < 0) goto end;
    if (size > (int64_t)sizeof w->buf && !(w->head = PyMem_Malloc((size_t)size))) {
        w->head = w->buf;
        PyErr_NoMemory();
        goto end;
    }
    Head h = {MARK, (uint8_t)what, apart ? APART : LAID, 0, (uint32_t)n};
    memcpy(w->head, &h, sizeof h);
    memcpy(w->head + sizeof h, &tag, 8);
    int64_t at = aligned(head);
    for (Py_ssize_t i = 0; i < n; i++) {
        int64_t len = v[i].len;
        memcpy(w->head + sizeof h + 8 * (i + 1), &len, 8);
        if (apart) continue;
        if (len) memcpy(w->head + at, v[i].buf, (size_t)len);
        at += aligned(len);
    }
    w->size = size;
    if (apart) Py_INCREF(list), w->parts = list;
end:
    for (Py_ssize_t i = 0; i < got; i++) PyBuffer_Release(&v[i]);
    PyMem_Free(v);
    return PyErr_Occurred() ? -1 : 0;
}

/* lay_one is lay for an object that is a part by itself. */
static int lay_one(Wire *w, Comm *c, enum what what, PyObject *o) {
    PyObject *list = PyList_New(0);
    int rc = !list || PyList_Append(list, o) < 0 ? -1 : lay(w, c, what, list);
    Py_XDECREF(list);
    return rc;
}

static int pickle(Wire *w, Comm *c, PyObject *o) {
    PyObject *outer = left_out, *list = PyList_New(0), *args = Py_BuildValue("(O)", o), *p = NULL;
    int rc = -1;
    if (!list || !args) goto end;
    left_out = list;
    p = PyObject_Call(dumps, args, dumps_options);
    left_out = outer;
    if (!p) goto end;
    if (!PyBytes_Check(p)) {
        PyErr_SetString(PyExc_TypeError, "dumps must give bytes");
        goto end;
    }
    if (PyList_Insert(list, 0, p) < 0) goto end;
    rc = lay(w, c, PICKLE, list);
end:
    Py_XDECREF(list), Py_XDECREF(args), Py_XDECREF(p);
    return rc;
}

/* encode makes an object ready. The Wire must be given back with wire_free in any case. */
static int encode(Wire *w, Comm *c, PyObject *o) {
    w->head = w->buf, w->parts = NULL, w->size = 0;
    PyTypeObject *t = Py_TYPE(o);
    if (o == Py_None) return plain(w, NONE, NULL, 0), 0;
    if (t == &PyFloat_Type) {
        double d = PyFloat_AsDouble(o);
        return plain(w, FLOAT, &d, sizeof d), 0;
    }
    if (t == &PyBool_Type) return plain(w, o == Py_True ? TRUE : FALSE, NULL, 0), 0;
    if (t == &PyLong_Type) {
        int over;
        long long v = PyLong_AsLongLongAndOverflow(o, &over);
        if (!over) return plain(w, INT, &v, sizeof v), 0;
    } else if (t == &PyBytes_Type) {
        return lay_one(w, c, BYTES, o);
    } else if (t == &PyByteArray_Type) {
        return lay_one(w, c, BYTEARRAY, o);
    } else if (t == &PyUnicode_Type) {
        Py_ssize_t n;
        const char *s = PyUnicode_AsUTF8AndSize(o, &n);
        if (s && n <= SHORT) return plain(w, STR, s, (size_t)n), 0;
        if (!s) PyErr_Clear(); /* lone surrogates: pickle can */
    }
    return pickle(w, c, o);
}

static int send_parts(Comm *c, PyObject *parts, int to, const char *head) {
    int64_t tag;
    memcpy(&tag, head + sizeof(Head), 8);
    for (Py_ssize_t i = 0; i < PyList_Size(parts); i++) {
        Py_buffer v;
        if (PyObject_GetBuffer(PyList_GetItem(parts, i), &v, PyBUF_ANY_CONTIGUOUS) < 0) return -1;
        int code;
        GO(code, lib.tutti_mpi_send(v.buf, v.len, TUTTI_UINT8, to, (int)tag, c->handle));
        PyBuffer_Release(&v);
        if (code != TUTTI_SUCCESS) return fail(code), -1;
    }
    return 0;
}

static PyObject *send_object(Comm *c, const char *name, int sync, PyObject *const *args, Py_ssize_t n, PyObject *kw) {
    static const char *const names[] = {"obj", "dest", "tag"};
    PyObject *a[3], *result = NULL;
    if (arguments(name, args, n, kw, names, 3, 2, a) < 0) return NULL;
    int bad = 0, to = int_or(a[1], 0, &bad), tag = int_or(a[2], 0, &bad), code = TUTTI_PENDING;
    if (bad) return NULL;
    if (c->pending) /* receives begun before must go on meanwhile */
        return PyObject_CallMethod((PyObject *)c, "_send_meanwhile", "Oiii", a[0], to, tag, sync);
    Wire w;
    if (encode(&w, c, a[0]) < 0) goto end;
    if (!sync) code = lib.tutti_mpi_try_send(w.head, w.size, TUTTI_UINT8, to, tag, c->handle);
    if (code == TUTTI_PENDING) {
        if (sync)
            GO(code, lib.tutti_mpi_ssend(w.head, w.size, TUTTI_UINT8, to, tag, c->handle));
        else
            GO(code, lib.tutti_mpi_send(w.head, w.size, TUTTI_UINT8, to, tag, c->handle));
    }
    if (code != TUTTI_SUCCESS)
        fail(code);
    else if (!w.parts || to == TUTTI_PROC_NULL || send_parts(c, w.parts, to, w.head) == 0)
        result = done(TUTTI_SUCCESS);
end:
    wire_free(&w);
    return result;
}

static PyObject *object_send(Comm *c, PyObject *const *args, Py_ssize_t n, PyObject *kw) { return send_object(c, "send", 0, args, n, kw); }
static PyObject *object_ssend(Comm *c, PyObject *const *args, Py_ssize_t n, PyObject *kw) { return send_object(c, "ssend", 1, args, n, kw); }

/* --- Reading ------------------------------------------------------------------------------------ */

static PyObject *corrupt(void) {
    PyObject *o = PyObject_CallFunction(error_class, "issiiiss", TUTTI_ERR_OTHER, "corrupt", "recv", -1, -1, -1, "mpi: recv: the message is no Python object",
                                        "what Send sent is received by Recv");
    if (o) PyErr_SetObject(error_class, o), Py_DECREF(o);
    return NULL;
}

static PyObject *unpickle(PyObject *stream, PyObject *buffers) {
    PyObject *args = Py_BuildValue("(O)", stream), *kw = NULL, *o = NULL;
    if (args && buffers) {
        kw = PyDict_New();
        if (!kw || PyDict_SetItem(kw, loads_word, buffers) < 0) goto end;
    }
    if (args) o = PyObject_Call(loads, args, kw);
end:
    Py_XDECREF(args), Py_XDECREF(kw);
    return o;
}

/* one makes an object that has a single part in the same message. */
static PyObject *one(enum what what, const char *p, int64_t n) {
    switch (what) {
    case NONE: Py_RETURN_NONE;
    case TRUE: Py_RETURN_TRUE;
    case FALSE: Py_RETURN_FALSE;
    case INT: {
        long long v;
        if (n != sizeof v) return corrupt();
        memcpy(&v, p, sizeof v);
        return PyLong_FromLongLong(v);
    }
    case FLOAT: {
        double d;
        if (n != sizeof d) return corrupt();
        memcpy(&d, p, sizeof d);
        return PyFloat_FromDouble(d);
    }
    case STR: return PyUnicode_DecodeUTF8(p, n, NULL);
    case BYTES: return PyBytes_FromStringAndSize(p, n);
    case BYTEARRAY: return PyByteArray_FromStringAndSize(p, n);
    default: {
        PyObject *s = PyBytes_FromStringAndSize(p, n), *o = s ? unpickle(s, NULL) : NULL;
        Py_XDECREF(s);
        return o;
    }
    }
}

/* many makes an object of its parts, the first of which is the pickle, or all there is. */
static PyObject *many(enum what what, PyObject *parts) {
    PyObject *first = PyList_GetItem(parts, 0);
    if (!first) return NULL;
    Py_INCREF(first);
    if (what == BYTES || what == BYTEARRAY) return first;
    PyObject *o = NULL;
    if (PySequence_DelItem(parts, 0) == 0) o = unpickle(first, PyList_Size(parts) ? parts : NULL);
    Py_DECREF(first);
    return o;
}

/* inside cuts a message into parts that share its memory. */
static PyObject *inside(enum what what, const char *p, int64_t size, uint32_t n) {
    int64_t at = aligned((int64_t)sizeof(Head) + 8 * (int64_t)(n + 1));
    PyObject *list = PyList_New(0), *copy = PyByteArray_FromStringAndSize(p, size), *view = copy ? PyMemoryView_FromObject(copy) : NULL;
    if (!list || !view) goto bad;
    for (uint32_t i = 0; i < n; i++) {
        int64_t len;
        memcpy(&len, p + sizeof(Head) + 8 * (i + 1), 8);
        if (len < 0 || len > size - at) {
            corrupt();
            goto bad;
        }
        PyObject *part = what == BYTEARRAY ? PyByteArray_FromStringAndSize(p + at, len)
                       : i == 0 ? PyBytes_FromStringAndSize(p + at, len) : PySequence_GetSlice(view, at, at + len);
        if (!part || PyList_Append(list, part) < 0) {
            Py_XDECREF(part);
            goto bad;
        }
        Py_DECREF(part);
        at += aligned(len);
    }
    Py_DECREF(copy), Py_DECREF(view);
    return list;
bad:
    Py_XDECREF(list), Py_XDECREF(copy), Py_XDECREF(view);
    return NULL;
}

/* fetch receives parts that come as messages of their own. */
static PyObject *fetch(Comm *c, enum what what, const char *p, uint32_t n) {
    int64_t tag;
    memcpy(&tag, p + sizeof(Head), 8);
    PyObject *list = PyList_New(0);
    for (uint32_t i = 0; list && i < n; i++) {
        int64_t len;
        memcpy(&len, p + sizeof(Head) + 8 * (i + 1), 8);
        PyObject *part = len < 0 ? corrupt() : i == 0 && what != BYTEARRAY ? PyBytes_FromStringAndSize(NULL, len) : PyByteArray_FromStringAndSize(NULL, len);
        int code = TUTTI_SUCCESS, bad = !part;
        if (!bad) {
            char *to = PyBytes_Check(part) ? PyBytes_AsString(part) : PyByteArray_AsString(part);
            GO(code, lib.tutti_mpi_recv(to, len, TUTTI_UINT8, TUTTI_ANY_SOURCE, (int)tag, c->handle, NULL));
            if (code != TUTTI_SUCCESS) fail(code), bad = 1;
        }
        if (!bad) bad = PyList_Append(list, part) < 0;
        Py_XDECREF(part);
        if (bad) Py_CLEAR(list);
    }
    return list;
}

/* decode makes the object of a message. c may be NULL where no part can be apart. */
static PyObject *decode(Comm *c, const char *p, int64_t size) {
    Head h;
    if (size < (int64_t)sizeof h) return corrupt();
    memcpy(&h, p, sizeof h);
    if (h.mark != MARK || h.what >= WHATS || h.parts < 1) return corrupt();
    if (!(h.flags & (APART | LAID))) return one(h.what, p + sizeof h, size - (int64_t)sizeof h);
    if (size < (int64_t)sizeof h + 8 * (int64_t)(h.parts + 1)) return corrupt();
    PyObject *parts = h.flags & APART ? c ? fetch(c, h.what, p, h.parts) : corrupt() : inside(h.what, p, size, h.parts);
    PyObject *o = parts ? many(h.what, parts) : NULL;
    Py_XDECREF(parts);
    return o;
}

/* Where a message of unknown length goes: nearly all are short. */
typedef struct {
    char buf[SHORT + 64];
    char *p;
} Room;

static void *find_room(void *context, int64_t bytes) {
    Room *r = context;
    if (r->p != r->buf) free(r->p);
    r->p = r->buf;
    if (bytes > (int64_t)sizeof r->buf && !(r->p = malloc((size_t)bytes))) r->p = r->buf, bytes = -1;
    return bytes < 0 ? NULL : r->p;
}

/* is_part says whether a message is a part of another one, for which another thread waits; then it
 * is handed on. */
static int is_part(Comm *c, const tutti_status *st, int tag, const char *p, int *code) {
    int64_t ub;
    if (tag != TUTTI_ANY_TAG || (*code = lib.tutti_mpi_tag_ub(c->handle, &ub)) != TUTTI_SUCCESS || st->tag <= ub / 2) return 0;
    if (comm_shape(c) < 0) return 0;
    GO(*code, lib.tutti_mpi_send(p, st->bytes, TUTTI_UINT8, c->rank, st->tag, c->handle));
    return *code == TUTTI_SUCCESS;
}

static PyObject *object_recv(Comm *c, PyObject *const *args, Py_ssize_t n, PyObject *kw) {
    static const char *const names[] = {"buf", "source", "tag", "status"};
    PyObject *a[4], *o = NULL;
    if (arguments("recv", args, n, kw, names, 4, 0, a) < 0) return NULL;
    int bad = 0, from = int_or(a[1], TUTTI_ANY_SOURCE, &bad), tag = int_or(a[2], TUTTI_ANY_TAG, &bad), code;
    if (bad || status_check(a[3]) < 0) return NULL;
    if (c->pending) /* receives begun before have the first choice */
        return PyObject_CallMethod((PyObject *)c, "_recv_after", "iiO", from, tag, a[3] ? a[3] : Py_None);
    Room r = {.p = r.buf};
    tutti_status st = {0};
    do {
        code = lib.tutti_mpi_try_recv_alloc(find_room, &r, from, tag, c->handle, &st, SPINS);
        if (code == TUTTI_PENDING) GO(code, lib.tutti_mpi_recv_alloc(find_room, &r, from, tag, c->handle, &st));
    } while (code == TUTTI_SUCCESS && is_part(c, &st, tag, r.p, &code));
    if (code != TUTTI_SUCCESS)
        fail(code);
    else if (st.source == TUTTI_PROC_NULL)
        o = Py_None, Py_INCREF(o);
    else
        o = decode(c, r.p, st.bytes);
    if (o && status_put(a[3], &st) < 0) Py_CLEAR(o);
    if (r.p != r.buf) free(r.p);
    return o;
}

/* --- For what is written in Python ---------------------------------------------------------------- */

/* _encode(obj) gives (head, parts, tag): what to send, and the list of parts that go apart, or None. */
static PyObject *object_encode(Comm *c, PyObject *o) {
    Wire w;
    PyObject *result = NULL;
    if (encode(&w, c, o) == 0) {
        int64_t tag = 0;
        if (w.parts) memcpy(&tag, w.head + sizeof(Head), 8);
        result = Py_BuildValue("(y#OL)", w.head, (Py_ssize_t)w.size, w.parts ? w.parts : Py_None, (long long)tag);
    }
    wire_free(&w);
    return result;
}

/* _decode(head) makes the object, and receives what is apart. */
static PyObject *object_decode(Comm *c, PyObject *o) {
    Py_buffer v;
    if (PyObject_GetBuffer(o, &v, PyBUF_ANY_CONTIGUOUS) < 0) return NULL;
    PyObject *result = decode(c, v.buf, v.len);
    PyBuffer_Release(&v);
    return result;
}

/* _sizes(head) gives what kind of object a head announces and the lengths of parts apart, or None. */
static PyObject *object_sizes(Comm *Py_UNUSED(c), PyObject *o) {
    Py_buffer v;
    if (PyObject_GetBuffer(o, &v, PyBUF_ANY_CONTIGUOUS) < 0) return NULL;
    Head h = {0};
    PyObject *list = NULL, *result = NULL;
    if (v.len >= (Py_ssize_t)sizeof h) memcpy(&h, v.buf, sizeof h);
    if (h.mark != MARK || v.len < (Py_ssize_t)sizeof h || ((h.flags & APART) && v.len < (Py_ssize_t)(sizeof h + 8 * (h.parts + 1)))) {
        corrupt();
        goto end;
    }
    if (!(list = PyList_New(0))) goto end;
    for (uint32_t i = 0; (h.flags & APART) && i < h.parts; i++) {
        int64_t len;
        memcpy(&len, (char *)v.buf + sizeof h + 8 * (i + 1), 8);
        PyObject *x = PyLong_FromLongLong(len);
        if (!x || PyList_Append(list, x) < 0) {
            Py_XDECREF(x);
            goto end;
        }
        Py_DECREF(x);
    }
    result = Py_BuildValue("(iO)", (int)h.what, h.flags & APART ? list : Py_None);
end:
    Py_XDECREF(list);
    PyBuffer_Release(&v);
    return result;
}

/* _build(kind, parts) makes an object of parts that have come. */
static PyObject *object_build(Comm *Py_UNUSED(c), PyObject *args) {
    int what;
    PyObject *parts;
    if (!PyArg_ParseTuple(args, "iO", &what, &parts)) return NULL;
    if (!PyList_Check(parts) || PyList_Size(parts) < 1) return corrupt();
    return many((enum what)what, parts);
}

PyMethodDef object_methods[] = {
    {"send", FASTCALL(object_send), FAST, "send(obj, dest, tag=0): sends any object that can be pickled."},
    {"ssend", FASTCALL(object_ssend), FAST, "ssend(obj, dest, tag=0): send that returns when the receive has begun."},
    {"recv", FASTCALL(object_recv), FAST, "recv(buf=None, source=ANY_SOURCE, tag=ANY_TAG, status=None): receives an object; buf is not used."},
    {"_encode", (PyCFunction)object_encode, METH_O, "Makes an object ready to be sent: (head, parts apart or None, their tag)."},
    {"_decode", (PyCFunction)object_decode, METH_O, "Makes the object of a message."},
    {"_sizes", (PyCFunction)object_sizes, METH_O, "What a head announces: kind, lengths of parts apart or None."},
    {"_build", (PyCFunction)object_build, METH_VARARGS, "Makes an object of its kind and parts."},
    {NULL, NULL, 0, NULL},
};
PyMethodDef object_functions[] = {
    {"set_pickle", FASTCALL(set_pickle), METH_FASTCALL, "set_pickle(dumps, loads, out_of_band)"}, {NULL, NULL, 0, NULL},
};
