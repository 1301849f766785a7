/* error.c: errors of libtutti.so as exceptions, and signals while a call waits. */
#include "_mpi.h"

PyObject *error_class;

PyObject *fail(int code) {
    if (PyErr_Occurred()) return NULL; /* a signal's handler raised while the call waited */
    const tutti_error *e = lib.tutti_error_last();
    if (!error_class) {
        PyErr_SetString(PyExc_RuntimeError, e->text);
        return NULL;
    }
    PyObject *o = e->code == code
        ? PyObject_CallFunction(error_class, "issiiiss", code, e->kind, e->op, e->rank, e->peer, e->tag, e->text, e->hint)
        : PyObject_CallFunction(error_class, "issiiiss", code, "internal", "", -1, -1, -1, lib.tutti_error_class(code), "");
    if (o) {
        PyErr_SetObject(error_class, o);
        Py_DECREF(o);
    }
    return NULL;
}

PyObject *done(int code) {
    if (code != TUTTI_SUCCESS) return fail(code);
    Py_RETURN_NONE;
}

/* A call that waits asks this without the interpreter's lock. In other threads than the main one
 * there are no signals to see. */
static int signals(void) {
    PyGILState_STATE s = PyGILState_Ensure();
    int bad = PyErr_CheckSignals() != 0;
    PyGILState_Release(s);
    return bad;
}

int watch_signals(void) { return lib.tutti_mpi_set_meanwhile(signals); }
