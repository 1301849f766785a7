/* buffer.c: what may be given as a buffer, and what libtutti.so gets to see of it.
 *
 * Taken are: any object with memory (bytes, bytearray, array.array, memoryview, numpy arrays), or a list or
 * tuple of it and what it holds: [data, type], [data, count], [data, count, type],
 * [data, (counts, displs), type], [data, counts, displs, type]; type is a Datatype or a letter of module
 * struct. Memory that is not contiguous is packed, and unpacked when something came. */
#include "_mpi.h"

#include <string.h>

PyTypeObject *Datatype_type;
PyObject *in_place, *bottom;

static const int sizes[] = {0, 1, 2, 4, 8, 1, 2, 4, 8, 4, 8, 8, 16, 1, 16, 16, 16, 16};

/* by_letter gives the type for a letter of module struct and the size of an item; 0 if there is none. */
static int by_letter(const char *f, Py_ssize_t itemsize) {
    if (!f) return TUTTI_UINT8;
    if (*f == '@' || *f == '=' || *f == '|' || (*f == '<' && PY_LITTLE_ENDIAN) || (*f == '>' && !PY_LITTLE_ENDIAN)) f++;
    int complex = *f == 'Z';
    if (complex) f++;
    if (!f[0] || f[1]) return 0;
    if (complex) return *f == 'f' ? TUTTI_COMPLEX64 : *f == 'd' ? TUTTI_COMPLEX128 : 0;
    int wide = itemsize == 1 ? 0 : itemsize == 2 ? 1 : itemsize == 4 ? 2 : itemsize == 8 ? 3 : -1;
    switch (*f) {
    case '?': return itemsize == 1 ? TUTTI_BOOL : 0;
    case 'c': return TUTTI_UINT8;
    case 'f': return TUTTI_FLOAT32;
    case 'd': return TUTTI_FLOAT64;
    case 'F': return TUTTI_COMPLEX64;
    case 'D': return TUTTI_COMPLEX128;
    case 'b': case 'h': case 'i': case 'l': case 'q': case 'n': return wide < 0 ? 0 : TUTTI_INT8 + wide;
    case 'B': case 'H': case 'I': case 'L': case 'Q': case 'N': case 's': return wide < 0 ? 0 : TUTTI_UINT8 + wide;
    }
    return 0;
}

/* by_name is by_letter for a type given as text, of the size that C gives it. */
static int by_name(PyObject *o) {
    const char *s = PyUnicode_AsUTF8AndSize(o, NULL);
    if (!s) return 0;
    char c = *s && s[1] ? 0 : *s;
    int size = strchr("hH", c) ? 2 : strchr("iI", c) ? 4 : strchr("lLqQnN", c) ? 8 : 1;
    int t = c ? by_letter(s, size) : by_letter(s, 0);
    if (!t) PyErr_Format(PyExc_ValueError, "%R is no type of elements", o);
    return t;
}

/* A small growing row of numbers out of a sequence, or all equal to one number. */
static int64_t *numbers(PyObject *o, int n, int64_t times, const char *what) {
    int64_t *out = PyMem_Malloc(sizeof *out * (size_t)(n ? n : 1));
    if (!out) return (int64_t *)PyErr_NoMemory();
    if (PyIndex_Check(o) && !PySequence_Check(o)) {
        int64_t v = PyLong_AsLongLong(o);
        if (v == -1 && PyErr_Occurred()) goto bad;
        for (int i = 0; i < n; i++) out[i] = v * times;
        return out;
    }
    Py_ssize_t have = PySequence_Size(o);
    if (have < 0) goto bad;
    if (have != n) {
        PyErr_Format(PyExc_ValueError, "%zd %s are given for %d ranks", have, what, n);
        goto bad;
    }
    for (int i = 0; i < n; i++) {
        PyObject *x = PySequence_GetItem(o, i);
        if (!x) goto bad;
        out[i] = PyLong_AsLongLong(x) * times;
        Py_DECREF(x);
        if (PyErr_Occurred()) goto bad;
    }
    return out;
bad:
    PyMem_Free(out);
    return NULL;
}

/* The parts of a buffer that was given as a list. */
typedef struct {
    PyObject *data, *count, *displ;
    Datatype *dt;
    int code; /* of a type given as text */
} Parts;

static int as_type(PyObject *o, Parts *p) {
    if (o == Py_None) return 0;
    if (PyUnicode_Check(o)) return (p->code = by_name(o)) ? 0 : -1;
    if (PyObject_TypeCheck(o, Datatype_type)) {
        p->dt = (Datatype *)o;
        return 0;
    }
    PyErr_Format(PyExc_TypeError, "a Datatype is wanted, not %R", o);
    return -1;
}

static PyObject *item(PyObject *o, Py_ssize_t i) { return PyList_Check(o) ? PyList_GetItem(o, i) : PyTuple_GetItem(o, i); }

/* parts takes a list apart; what it gives is borrowed from the list. */
static int parts(PyObject *o, Parts *p) {
    Py_ssize_t n = PyList_Check(o) ? PyList_Size(o) : PyTuple_Size(o);
    if (n < 1 || n > 4) {
        PyErr_SetString(PyExc_ValueError, "a buffer given as a list is [data, type], [data, count, type], or [data, counts, displs, type]");
        return -1;
    }
    p->data = item(o, 0);
    PyObject *last = n > 1 ? item(o, n - 1) : NULL;
    int typed = last && (PyUnicode_Check(last) || PyObject_TypeCheck(last, Datatype_type));
    if (n == 4 || typed) {
        if (as_type(last, p) < 0) return -1;
        n--;
    }
    if (n > 3) {
        PyErr_SetString(PyExc_TypeError, "the last of [data, counts, displs, type] must be a Datatype");
        return -1;
    }
    if (n > 1) p->count = item(o, 1);
    if (n > 2) p->displ = item(o, 2);
    if (p->count && !p->displ && PyTuple_Check(p->count) && PyTuple_Size(p->count) == 2) {
        PyObject *a = PyTuple_GetItem(p->count, 0), *b = PyTuple_GetItem(p->count, 1);
        /* ((counts), (displs)) and (count, displ) are pairs; a tuple of two counts has numbers, and is one too */
        p->count = a, p->displ = b;
    }
    if (p->count == Py_None) p->count = NULL;
    if (p->displ == Py_None) p->displ = NULL;
    return 0;
}

/* pack makes a contiguous copy of what is not, or of pairs as libtutti.so wants them. */
static int pack(Buffer *b) {
    Py_buffer *v = &b->view;
    char *raw = NULL;
    int64_t bytes = v->len;
    if (b->strided) {
        if (!(raw = PyMem_Malloc((size_t)(bytes ? bytes : 1)))) goto full;
        if (PyBuffer_ToContiguous(raw, v, bytes, 'C') < 0) goto bad;
    }
    if (b->pair) {
        int64_t n = bytes / b->pair->size;
        char *to = PyMem_Calloc((size_t)(n ? n : 1), 16), *from = raw ? raw : (char *)v->buf;
        if (!to) goto full;
        for (int64_t i = 0; i < n; i++) {
            int32_t at;
            memcpy(to + 16 * i, from + i * b->pair->size, (size_t)b->pair->value);
            memcpy(&at, from + i * b->pair->size + b->pair->index, sizeof at);
            int64_t wide = at;
            memcpy(to + 16 * i + 8, &wide, sizeof wide);
        }
        PyMem_Free(raw);
        raw = to;
    }
    b->packed = raw;
    return 0;
full:
    PyErr_NoMemory();
bad:
    PyMem_Free(raw);
    return -1;
}

static int unpack(Buffer *b) {
    Py_buffer *v = &b->view;
    if (!b->pair) return PyBuffer_FromContiguous(v, b->packed, v->len, 'C');
    int64_t n = v->len / b->pair->size;
    char *raw = b->strided ? PyMem_Malloc((size_t)(v->len ? v->len : 1)) : v->buf, *from = b->packed;
    if (!raw) {
        PyErr_NoMemory();
        return -1;
    }
    if (b->strided && PyBuffer_ToContiguous(raw, v, v->len, 'C') < 0) goto bad;
    for (int64_t i = 0; i < n; i++) {
        int64_t wide;
        memcpy(&wide, from + 16 * i + 8, sizeof wide);
        int32_t at = (int32_t)wide;
        memcpy(raw + i * b->pair->size, from + 16 * i, (size_t)b->pair->value);
        memcpy(raw + i * b->pair->size + b->pair->index, &at, sizeof at);
    }
    if (b->strided) {
        int rc = PyBuffer_FromContiguous(v, raw, v->len, 'C');
        PyMem_Free(raw);
        return rc;
    }
    return 0;
bad:
    PyMem_Free(raw);
    return -1;
}

/* hold gets an object's memory. */
static int hold(Buffer *b, PyObject *o, int write, int plain) {
    int flags = (write ? PyBUF_WRITABLE : 0) | (plain ? PyBUF_ANY_CONTIGUOUS : PyBUF_ANY_CONTIGUOUS | PyBUF_FORMAT);
    if (PyObject_GetBuffer(o, &b->view, flags) == 0) return b->held = 1, 0;
    if (!PyErr_ExceptionMatches(PyExc_BufferError) && !PyErr_ExceptionMatches(PyExc_ValueError)) return -1;
    PyObject *t, *v, *tb;
    PyErr_Fetch(&t, &v, &tb); /* not contiguous, or not to be written: the second try tells */
    if (PyObject_GetBuffer(o, &b->view, (write ? PyBUF_WRITABLE : 0) | PyBUF_STRIDES | PyBUF_FORMAT) < 0) {
        PyErr_Clear();
        PyErr_Restore(t, v, tb);
        return -1;
    }
    Py_XDECREF(t), Py_XDECREF(v), Py_XDECREF(tb);
    b->held = b->strided = 1;
    return 0;
}

/* count says how many elements of a plain buffer are meant. */
static int count(Buffer *b, const Parts *p, int64_t items, int64_t room, int blocks) {
    int64_t displ = 0;
    if (p->displ) {
        displ = PyLong_AsLongLong(p->displ) * items;
        if (PyErr_Occurred()) return -1;
        if (displ < 0 || displ > room) {
            PyErr_Format(PyExc_ValueError, "the displacement lies outside of the buffer");
            return -1;
        }
        b->offset = displ * b->size, room -= displ;
    }
    b->total = room;
    if (!p->count) {
        b->count = blocks > 1 ? room / blocks : room;
        if (blocks > 1 && room % blocks) {
            PyErr_Format(PyExc_ValueError, "a buffer of %lld elements cannot be divided by %d ranks", (long long)room, blocks);
            return -1;
        }
        return 0;
    }
    b->count = PyLong_AsLongLong(p->count) * items;
    if (PyErr_Occurred()) return -1;
    if (b->count < 0 || b->count > room / (blocks ? blocks : 1)) {
        PyErr_Format(PyExc_ValueError, "the buffer has %lld elements, %lld are asked for", (long long)(room / items),
                     (long long)(b->count / items * (blocks ? blocks : 1)));
        return -1;
    }
    return 0;
}

/* spread says where the blocks of a vector lie. */
static int spread(Buffer *b, const Parts *p, int64_t items, int64_t room, int n) {
    b->total = room;
    if (p->count) {
        b->counts = numbers(p->count, n, items, "counts");
    } else if ((b->counts = PyMem_Malloc(sizeof(int64_t) * (size_t)n))) {
        for (int i = 0; i < n; i++) b->counts[i] = room / n + (i < room % n);
    }
    if (!b->counts) return -1;
    if (p->displ) {
        b->displs = numbers(p->displ, n, items, "displacements");
    } else if ((b->displs = PyMem_Malloc(sizeof(int64_t) * (size_t)n))) {
        int64_t at = 0;
        for (int i = 0; i < n; i++) b->displs[i] = at, at += b->counts[i];
    }
    if (!b->displs) return -1;
    for (int i = 0; i < n; i++) {
        if (b->counts[i] < 0 || b->displs[i] < 0 || b->displs[i] + b->counts[i] > room) {
            PyErr_Format(PyExc_ValueError, "the block of rank %d does not lie within the buffer of %lld elements", i, (long long)(room / items));
            return -1;
        }
    }
    return 0;
}

int buffer_take(Buffer *b, PyObject *o, int write, int blocks, int vector) {
    memset(b, 0, sizeof *b);
    b->type = TUTTI_UINT8, b->size = 1, b->writable = write;
    if (o == in_place) return b->ptr = TUTTI_IN_PLACE, 0;
    if (!o || o == Py_None) return 0;
    Parts p = {.data = o};
    if ((PyList_Check(o) || PyTuple_Check(o)) && parts(o, &p) < 0) return -1;
    if (p.data == in_place) return b->ptr = TUTTI_IN_PLACE, 0;
    if (p.data == Py_None || p.data == bottom) { /* [None, 0, type] */
        b->type = p.dt ? p.dt->code : p.code ? p.code : TUTTI_UINT8, b->size = sizes[b->type];
        return vector ? spread(b, &p, 1, 0, blocks) : count(b, &p, 1, 0, blocks);
    }
    if (hold(b, p.data, write, p.dt || p.code) < 0) goto bad;
    int64_t items = 1;
    if (p.dt) {
        b->type = p.dt->code, items = p.dt->items;
        if (p.dt->value) b->pair = p.dt;
    } else if (p.code) {
        b->type = p.code;
    } else if (!(b->type = by_letter(b->view.format, b->view.itemsize))) {
        PyErr_Format(PyExc_TypeError, "elements of format '%s' have no type of their own: say [data, type]", b->view.format);
        goto bad;
    }
    b->size = sizes[b->type];
    int64_t step = b->pair ? b->pair->size : b->size * items, room = b->view.len / step;
    if (b->view.len % step && !p.count) {
        PyErr_Format(PyExc_ValueError, "a buffer of %zd bytes is not a number of elements of %lld bytes", b->view.len, (long long)step);
        goto bad;
    }
    if ((vector ? spread(b, &p, items, room * items, blocks) : count(b, &p, items, room * items, blocks)) < 0) goto bad;
    if ((b->strided || b->pair) && pack(b) < 0) goto bad;
    b->ptr = (char *)(b->packed ? b->packed : b->view.buf) + b->offset;
    return 0;
bad:
    buffer_give(b, 0);
    return -1;
}

int buffer_give(Buffer *b, int filled) {
    int rc = 0;
    if (filled && b->packed && b->writable) rc = unpack(b);
    PyMem_Free(b->packed);
    PyMem_Free(b->counts);
    PyMem_Free(b->displs);
    if (b->held) PyBuffer_Release(&b->view);
    b->packed = NULL, b->counts = b->displs = NULL, b->held = 0;
    return rc;
}

static void as_bytes(Buffer *b) {
    b->type = TUTTI_UINT8, b->count *= b->size, b->total *= b->size, b->size = 1;
}

int buffers_agree(Buffer *a, Buffer *b) {
    if (a->ptr == TUTTI_IN_PLACE || (!a->held && !a->counts)) {
        a->type = b->type, a->size = b->size;
    } else if (b->ptr == TUTTI_IN_PLACE || (!b->held && !b->counts)) {
        b->type = a->type, b->size = a->size;
    } else if (a->type != b->type) {
        if (a->counts || b->counts) {
            PyErr_SetString(PyExc_TypeError, "both buffers of such a call must have elements of one type");
            return -1;
        }
        as_bytes(a), as_bytes(b);
    }
    return 0;
}
