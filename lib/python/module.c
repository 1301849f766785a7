/* module.c: the module tutti._mpi: its types, and the functions on worlds, communicators and windows. */
#include "_mpi.h"

#include <stdlib.h>
#include <string.h>

extern PyMethodDef message_methods[], request_methods[], op_methods[], object_functions[];
extern PyMemberDef status_members[], message_members[], op_members[];
extern PyType_Slot request_slots[];

/* --- Comm --------------------------------------------------------------------------------------- */

static PyObject *comm_new(PyTypeObject *t, PyObject *args, PyObject *kw) {
    (void)args, (void)kw;
    Comm *c = (Comm *)PyType_GenericNew(t, NULL, NULL);
    if (c) c->handle = TUTTI_COMM_NULL, c->rank = c->size = -1;
    return (PyObject *)c;
}

static PyObject *get_rank(Comm *c, void *Py_UNUSED(closure)) { return comm_shape(c) < 0 ? NULL : PyLong_FromLong(c->rank); }
static PyObject *get_size(Comm *c, void *Py_UNUSED(closure)) { return comm_shape(c) < 0 ? NULL : PyLong_FromLong(c->size); }
static PyObject *call_rank(Comm *c, PyObject *Py_UNUSED(none)) { return get_rank(c, NULL); }
static PyObject *call_size(Comm *c, PyObject *Py_UNUSED(none)) { return get_size(c, NULL); }

/* made gives a handle to Python: the class decides what becomes of it. */
static PyObject *made(int code, tutti_comm h) { return code == TUTTI_SUCCESS ? PyLong_FromLong(h) : fail(code); }

static PyObject *comm_dup(Comm *c, PyObject *Py_UNUSED(none)) {
    tutti_comm h = 0;
    int code;
    GO(code, lib.tutti_mpi_comm_dup(c->handle, &h));
    return made(code, h);
}

static PyObject *comm_split(Comm *c, PyObject *args) {
    int color, key, code;
    tutti_comm h = 0;
    if (!PyArg_ParseTuple(args, "ii", &color, &key)) return NULL;
    GO(code, lib.tutti_mpi_comm_split(c->handle, color, key, &h));
    return made(code, h);
}

static PyObject *comm_split_shared(Comm *c, PyObject *args) {
    int key, code;
    tutti_comm h = 0;
    if (!PyArg_ParseTuple(args, "i", &key)) return NULL;
    GO(code, lib.tutti_mpi_comm_split_shared(c->handle, key, &h));
    return made(code, h);
}

static PyObject *comm_free(Comm *c, PyObject *Py_UNUSED(none)) {
    int code;
    GO(code, lib.tutti_mpi_comm_free(&c->handle));
    c->rank = c->size = -1;
    return done(code);
}

static PyObject *comm_leave(Comm *c, PyObject *Py_UNUSED(none)) {
    int code;
    GO(code, lib.tutti_mpi_leave(&c->handle));
    c->rank = c->size = -1;
    return done(code);
}

static PyObject *comm_revoke(Comm *c, PyObject *Py_UNUSED(none)) {
    int code;
    GO(code, lib.tutti_mpi_revoke(c->handle));
    return done(code);
}

static PyObject *comm_lost(Comm *c, PyObject *args) {
    int rank;
    return PyArg_ParseTuple(args, "i", &rank) ? done(lib.tutti_mpi_lost(c->handle, rank)) : NULL;
}

static PyObject *comm_abort(Comm *c, PyObject *args) {
    int code = 1, rc;
    const char *reason = NULL;
    if (!PyArg_ParseTuple(args, "|iz", &code, &reason)) return NULL;
    GO(rc, lib.tutti_mpi_abort(c->handle, code, reason));
    return done(rc);
}

static PyObject *comm_fatal(Comm *c, PyObject *on) {
    return done(lib.tutti_mpi_set_error_handler(c->handle, PyObject_IsTrue(on) ? lib.tutti_errors_are_fatal : NULL, NULL));
}

static PyObject *comm_waiting(Comm *c, PyObject *Py_UNUSED(none)) {
    int64_t room = 1 << 20;
    char *text = PyMem_Malloc((size_t)room);
    if (!text) return PyErr_NoMemory();
    int code = lib.tutti_mpi_waiting(c->handle, text, room);
    PyObject *o = code == TUTTI_SUCCESS ? PyUnicode_FromString(text) : fail(code);
    PyMem_Free(text);
    return o;
}

static PyObject *comm_tag_ub(Comm *c, PyObject *Py_UNUSED(none)) {
    int64_t ub;
    int code = lib.tutti_mpi_tag_ub(c->handle, &ub);
    return code == TUTTI_SUCCESS ? PyLong_FromLongLong(ub) : fail(code);
}

static PyObject *comm_get_name(Comm *c, PyObject *Py_UNUSED(none)) {
    char name[256];
    int code = lib.tutti_mpi_comm_get_name(c->handle, name, sizeof name);
    return code == TUTTI_SUCCESS ? PyUnicode_DecodeUTF8(name, (Py_ssize_t)strlen(name), "replace") : fail(code);
}

static PyObject *comm_set_name(Comm *c, PyObject *o) {
    const char *name = PyUnicode_AsUTF8AndSize(o, NULL);
    return name ? done(lib.tutti_mpi_comm_set_name(c->handle, name)) : NULL;
}

/* _members(): the ranks of the world that the communicator consists of. world is its communicator. */
static PyObject *comm_members(Comm *c, PyObject *world) {
    if (!PyObject_TypeCheck(world, Comm_type)) return PyErr_SetString(PyExc_TypeError, "a Comm is wanted"), NULL;
    if (comm_shape(c) < 0) return NULL;
    tutti_group mine = 0, all = 0;
    int *ranks = PyMem_Malloc(sizeof(int) * 2 * (size_t)c->size), code = TUTTI_SUCCESS;
    PyObject *list = NULL;
    if (!ranks) return PyErr_NoMemory();
    for (int i = 0; i < c->size; i++) ranks[i] = i;
    code = lib.tutti_mpi_comm_group(c->handle, &mine);
    if (code == TUTTI_SUCCESS) code = lib.tutti_mpi_comm_group(((Comm *)world)->handle, &all);
    if (code == TUTTI_SUCCESS) code = lib.tutti_mpi_group_translate(mine, c->size, ranks, all, ranks + c->size);
    if (code != TUTTI_SUCCESS) {
        fail(code);
    } else if ((list = PyList_New(c->size))) {
        for (int i = 0; i < c->size; i++) PyList_SetItem(list, i, PyLong_FromLong(ranks[c->size + i]));
    }
    if (mine) lib.tutti_mpi_group_free(&mine);
    if (all) lib.tutti_mpi_group_free(&all);
    PyMem_Free(ranks);
    return list;
}

static PyMethodDef comm_methods[] = {
    {"Get_rank", (PyCFunction)call_rank, METH_NOARGS, "The calling rank, from 0 to size-1."},
    {"Get_size", (PyCFunction)call_size, METH_NOARGS, "The number of ranks."},
    {"_dup", (PyCFunction)comm_dup, METH_NOARGS, NULL},
    {"_split", (PyCFunction)comm_split, METH_VARARGS, NULL},
    {"_split_shared", (PyCFunction)comm_split_shared, METH_VARARGS, NULL},
    {"_free", (PyCFunction)comm_free, METH_NOARGS, NULL},
    {"_leave", (PyCFunction)comm_leave, METH_NOARGS, NULL},
    {"_revoke", (PyCFunction)comm_revoke, METH_NOARGS, NULL},
    {"_lost", (PyCFunction)comm_lost, METH_VARARGS, NULL},
    {"_abort", (PyCFunction)comm_abort, METH_VARARGS, NULL},
    {"_fatal", (PyCFunction)comm_fatal, METH_O, NULL},
    {"_waiting", (PyCFunction)comm_waiting, METH_NOARGS, NULL},
    {"_tag_ub", (PyCFunction)comm_tag_ub, METH_NOARGS, NULL},
    {"_get_name", (PyCFunction)comm_get_name, METH_NOARGS, NULL},
    {"_set_name", (PyCFunction)comm_set_name, METH_O, NULL},
    {"_members", (PyCFunction)comm_members, METH_O, NULL},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef comm_getset[] = {
    {"rank", (getter)get_rank, NULL, "the calling rank, from 0 to size-1", NULL},
    {"size", (getter)get_size, NULL, "the number of ranks", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};
static PyMemberDef comm_members_[] = {
    {"_handle", T_INT, offsetof(Comm, handle), 0, "the number of the communicator, 0 if it is null"},
    {"_known_size", T_INT, offsetof(Comm, size), 0, "-1: rank and size are to be asked for again"},
    {"_pending_count", T_INT, offsetof(Comm, pending), 0, "receives of objects that were begun and have no message yet"},
    {NULL, 0, 0, 0, NULL},
};
static PyMemberDef datatype_members[] = {
    {"_code", T_INT, offsetof(Datatype, code), 0, NULL},   {"_items", T_INT, offsetof(Datatype, items), 0, NULL},
    {"_size", T_LONGLONG, offsetof(Datatype, size), 0, NULL}, {"_value", T_INT, offsetof(Datatype, value), 0, NULL},
    {"_index", T_INT, offsetof(Datatype, index), 0, NULL}, {NULL, 0, 0, 0, NULL},
};

/* --- Functions ---------------------------------------------------------------------------------- */

static PyObject *m_init(PyObject *Py_UNUSED(m), PyObject *Py_UNUSED(none)) {
    int code;
    GO(code, lib.tutti_mpi_init(NULL, NULL));
    if (code == TUTTI_SUCCESS) code = watch_signals();
    return done(code);
}
static PyObject *m_finalize(PyObject *Py_UNUSED(m), PyObject *Py_UNUSED(none)) {
    int code;
    GO(code, lib.tutti_mpi_finalize());
    return done(code);
}
static PyObject *flag_of(int (*f)(int *)) {
    int flag = 0, code = f(&flag);
    return code == TUTTI_SUCCESS ? PyBool_FromLong(flag) : fail(code);
}
static PyObject *m_initialized(PyObject *Py_UNUSED(m), PyObject *Py_UNUSED(none)) { return flag_of(lib.tutti_mpi_initialized); }
static PyObject *m_finalized(PyObject *Py_UNUSED(m), PyObject *Py_UNUSED(none)) { return flag_of(lib.tutti_mpi_finalized); }

static PyObject *m_join(PyObject *Py_UNUSED(m), PyObject *args) {
    const char *path;
    int fd, rank, size, code;
    tutti_comm h = 0;
    if (!PyArg_ParseTuple(args, "ziii", &path, &fd, &rank, &size)) return NULL;
    GO(code, lib.tutti_mpi_join(path, fd, rank, size, &h));
    if (code == TUTTI_SUCCESS) watch_signals();
    return made(code, h);
}
static PyObject *m_new_segment(PyObject *Py_UNUSED(m), PyObject *Py_UNUSED(none)) {
    int fd = -1, code = lib.tutti_mpi_new_segment(&fd);
    return made(code, fd);
}
static PyObject *m_wtime(PyObject *Py_UNUSED(m), PyObject *Py_UNUSED(none)) { return PyFloat_FromDouble(lib.tutti_mpi_wtime()); }
static PyObject *m_wtick(PyObject *Py_UNUSED(m), PyObject *Py_UNUSED(none)) { return PyFloat_FromDouble(lib.tutti_mpi_wtick()); }
static PyObject *m_version(PyObject *Py_UNUSED(m), PyObject *Py_UNUSED(none)) { return PyUnicode_FromString(lib.tutti_version()); }
static PyObject *m_processor_name(PyObject *Py_UNUSED(m), PyObject *Py_UNUSED(none)) {
    char name[256];
    int code = lib.tutti_mpi_processor_name(name, sizeof name);
    return code == TUTTI_SUCCESS ? PyUnicode_FromString(name) : fail(code);
}
static PyObject *m_error_class(PyObject *Py_UNUSED(m), PyObject *o) {
    long code = PyLong_AsLong(o);
    return code == -1 && PyErr_Occurred() ? NULL : PyUnicode_FromString(lib.tutti_error_class((int)code));
}

/* win_allocate(comm, bytes) -> (window, address) */
static PyObject *m_win_allocate(PyObject *Py_UNUSED(m), PyObject *args) {
    PyObject *o;
    long long bytes;
    tutti_win win = 0;
    void *base = NULL;
    int code;
    if (!PyArg_ParseTuple(args, "OL", &o, &bytes)) return NULL;
    if (!PyObject_TypeCheck(o, Comm_type)) return PyErr_SetString(PyExc_TypeError, "a Comm is wanted"), NULL;
    GO(code, lib.tutti_mpi_win_allocate_shared(bytes, ((Comm *)o)->handle, &win, &base));
    return code == TUTTI_SUCCESS ? Py_BuildValue("(iN)", (int)win, PyLong_FromVoidPtr(base)) : fail(code);
}
/* win_query(window, rank) -> (bytes, address) */
static PyObject *m_win_query(PyObject *Py_UNUSED(m), PyObject *args) {
    int win, rank, code;
    int64_t bytes = 0;
    void *base = NULL;
    if (!PyArg_ParseTuple(args, "ii", &win, &rank)) return NULL;
    code = lib.tutti_mpi_win_query(win, rank, &bytes, &base);
    return code == TUTTI_SUCCESS ? Py_BuildValue("(LN)", (long long)bytes, PyLong_FromVoidPtr(base)) : fail(code);
}
static PyObject *m_win_sync(PyObject *Py_UNUSED(m), PyObject *o) {
    long win = PyLong_AsLong(o);
    int code;
    if (win == -1 && PyErr_Occurred()) return NULL;
    GO(code, lib.tutti_mpi_win_sync((tutti_win)win));
    return done(code);
}
static PyObject *m_win_free(PyObject *Py_UNUSED(m), PyObject *o) {
    long given = PyLong_AsLong(o);
    int code;
    if (given == -1 && PyErr_Occurred()) return NULL;
    tutti_win win = (tutti_win)given;
    GO(code, lib.tutti_mpi_win_free(&win));
    return done(code);
}
/* view(address, bytes): memory as it is. */
static PyObject *m_view(PyObject *Py_UNUSED(m), PyObject *args) {
    PyObject *address;
    Py_ssize_t bytes;
    static char nothing;
    if (!PyArg_ParseTuple(args, "On", &address, &bytes)) return NULL;
    void *p = PyLong_AsVoidPtr(address);
    if (!p && PyErr_Occurred()) return NULL;
    return PyMemoryView_FromMemory(p ? p : &nothing, p ? bytes : 0, PyBUF_WRITE);
}

/* use(Error, Request, Message, IN_PLACE, BOTTOM): the Python classes and objects that this module makes or knows. */
static PyObject *m_use(PyObject *Py_UNUSED(m), PyObject *args) {
    PyObject *e, *r, *g, *i, *b;
    if (!PyArg_ParseTuple(args, "OOOOO", &e, &r, &g, &i, &b)) return NULL;
    Py_INCREF(e), Py_INCREF(r), Py_INCREF(g), Py_INCREF(i), Py_INCREF(b);
    error_class = e, Request_class = r, Message_class = g, in_place = i, bottom = b;
    Py_RETURN_NONE;
}

static PyMethodDef functions[] = {
    {"init", m_init, METH_NOARGS, NULL}, {"finalize", m_finalize, METH_NOARGS, NULL},
    {"initialized", m_initialized, METH_NOARGS, NULL}, {"finalized", m_finalized, METH_NOARGS, NULL},
    {"join", m_join, METH_VARARGS, NULL}, {"new_segment", m_new_segment, METH_NOARGS, NULL},
    {"Wtime", m_wtime, METH_NOARGS, "Seconds of a clock that all processes of a machine share."},
    {"Wtick", m_wtick, METH_NOARGS, "The resolution of Wtime in seconds."},
    {"version", m_version, METH_NOARGS, NULL}, {"processor_name", m_processor_name, METH_NOARGS, NULL},
    {"error_class", m_error_class, METH_O, NULL},
    {"win_allocate", m_win_allocate, METH_VARARGS, NULL}, {"win_query", m_win_query, METH_VARARGS, NULL},
    {"win_sync", m_win_sync, METH_O, NULL}, {"win_free", m_win_free, METH_O, NULL}, {"view", m_view, METH_VARARGS, NULL},
    {"use", m_use, METH_VARARGS, NULL}, {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, "tutti._mpi", "What tutti.mpi is made of.", -1, functions, NULL, NULL, NULL, NULL};

/* join_tables makes one table of methods of several. */
static PyMethodDef *join_tables(PyMethodDef *const *tables, int n) {
    size_t count = 1;
    for (int t = 0; t < n; t++)
        for (PyMethodDef *d = tables[t]; d->ml_name; d++) count++;
    PyMethodDef *all = calloc(count, sizeof *all), *to = all;
    for (int t = 0; all && t < n; t++)
        for (PyMethodDef *d = tables[t]; d->ml_name; d++) *to++ = *d;
    return all;
}

static PyTypeObject *make_type(PyObject *m, const char *name, int size, PyType_Slot *slots) {
    PyType_Spec spec = {name, size, 0, Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE, slots};
    PyObject *t = PyType_FromSpec(&spec);
    if (t && PyModule_AddObjectRef(m, strrchr(name, '.') + 1, t) < 0) Py_CLEAR(t);
    return (PyTypeObject *)t;
}

PyMODINIT_FUNC PyInit__mpi(void) {
    if (load(getenv("TUTTI_LIB")) < 0) return NULL;
    PyObject *m = PyModule_Create(&definition);
    if (!m) return NULL;
    PyMethodDef *tables[] = {comm_methods, point_methods, collect_methods, object_methods};
    PyMethodDef *methods = join_tables(tables, 4);
    PyType_Slot comm_slots[] = {{Py_tp_doc, "A communicator."}, {Py_tp_new, comm_new}, {Py_tp_methods, methods},
                                {Py_tp_getset, comm_getset}, {Py_tp_members, comm_members_}, {0, NULL}};
    PyType_Slot status_slots[] = {{Py_tp_doc, "What was received."}, {Py_tp_members, status_members}, {0, NULL}};
    PyType_Slot message_slots[] = {{Py_tp_doc, "A message that a probe has set aside."}, {Py_tp_methods, message_methods},
                                   {Py_tp_members, message_members}, {0, NULL}};
    PyType_Slot op_slots[] = {{Py_tp_doc, "A reduction."}, {Py_tp_methods, op_methods}, {Py_tp_members, op_members}, {0, NULL}};
    PyType_Slot datatype_slots[] = {{Py_tp_doc, "A type of elements."}, {Py_tp_members, datatype_members}, {0, NULL}};
    if (!methods || !(Comm_type = make_type(m, "tutti._mpi.Comm", sizeof(Comm), comm_slots)) ||
        !(Status_type = make_type(m, "tutti._mpi.Status", sizeof(Status), status_slots)) ||
        !(Message_type = make_type(m, "tutti._mpi.Message", sizeof(Message), message_slots)) ||
        !(Request_type = make_type(m, "tutti._mpi.Request", sizeof(Request), request_slots)) ||
        !(Op_type = make_type(m, "tutti._mpi.Op", sizeof(Op), op_slots)) ||
        !(Datatype_type = make_type(m, "tutti._mpi.Datatype", sizeof(Datatype), datatype_slots)) ||
        PyModule_AddFunctions(m, object_functions) < 0) {
        Py_DECREF(m);
        return NULL;
    }
    return m;
}
