/* request.c: Status, Message and Request. */
#include "_mpi.h"

#include <string.h>

PyTypeObject *Status_type, *Request_type, *Message_type;
PyObject *Request_class, *Message_class;

int status_check(PyObject *o) {
    if (!o || o == Py_None || PyObject_TypeCheck(o, Status_type)) return 0;
    PyErr_Format(PyExc_TypeError, "a Status is wanted, not %R", o);
    return -1;
}

int status_put(PyObject *o, const tutti_status *st) {
    if (status_check(o) < 0) return -1;
    if (o && o != Py_None) ((Status *)o)->st = *st;
    return 0;
}

PyMemberDef status_members[] = {
    {"source", T_INT, offsetof(Status, st.source), 0, "the rank that sent it"},
    {"tag", T_INT, offsetof(Status, st.tag), 0, "the tag it was sent with"},
    {"error", T_INT, offsetof(Status, st.error), 0, "the error class, 0 if none"},
    {"_cancelled", T_INT, offsetof(Status, st.cancelled), 0, "1 if the receive was taken back"},
    {"_bytes", T_LONGLONG, offsetof(Status, st.bytes), 0, "the length of the message"},
    {NULL, 0, 0, 0, NULL},
};

/* --- Message ---------------------------------------------------------------------------------- */

PyMemberDef message_members[] = {
    {"_handle", T_INT, offsetof(Message, handle), READONLY, "0 when it was received"},
    {"_source", T_INT, offsetof(Message, st.source), READONLY, "the rank that sent it"},
    {"_tag", T_INT, offsetof(Message, st.tag), READONLY, "the tag it was sent with"},
    {"_bytes", T_LONGLONG, offsetof(Message, st.bytes), READONLY, "its length"},
    {NULL, 0, 0, 0, NULL},
};

static PyObject *message_recv(Message *m, PyObject *const *args, Py_ssize_t n, PyObject *kw) {
    static const char *const names[] = {"buf", "status"};
    PyObject *a[2];
    if (arguments("Recv", args, n, kw, names, 2, 1, a) < 0) return NULL;
    Buffer b;
    if (buffer_take(&b, a[0], WRITE, 0, 0) < 0) return NULL;
    tutti_status st = {0};
    int code;
    GO(code, lib.tutti_mpi_mrecv(b.ptr, b.count, b.type, &m->handle, &st));
    int came = code == TUTTI_SUCCESS || code == TUTTI_ERR_TRUNCATE;
    int bad = buffer_give(&b, came) < 0 || (came && status_put(a[1], &st) < 0);
    if (code != TUTTI_SUCCESS) return fail(code);
    if (bad) return NULL;
    Py_RETURN_NONE;
}

PyMethodDef message_methods[] = {
    {"Recv", FASTCALL(message_recv), FAST, "Recv(buf, status=None): receives the message, once."},
    {NULL, NULL, 0, NULL},
};

/* --- Request ---------------------------------------------------------------------------------- */

Request *request_new(void) { return (Request *)PyObject_CallObject(Request_class, NULL); }

int request_end(Request *r, int code) {
    r->over = 1, r->code = code;
    int came = code == TUTTI_SUCCESS || code == TUTTI_ERR_TRUNCATE;
    int bad = buffer_give(&r->recv, came && !r->st.cancelled);
    buffer_give(&r->send, 0);
    return bad;
}

/* A request that nobody asks about any more goes on; its buffers stay where they are until the end
 * of the process, since somebody else may still read or write them. */
static void request_dealloc(Request *r) {
    if (!r->over && r->handle != TUTTI_REQUEST_NULL) {
        int flag = 0;
        if (lib.tutti_mpi_test(&r->handle, &flag, NULL) == TUTTI_SUCCESS && !flag) {
            lib.tutti_mpi_request_free(&r->handle);
            r->recv.held = r->send.held = 0;
            r->recv.packed = r->send.packed = NULL;
        }
    }
    buffer_give(&r->recv, 0);
    buffer_give(&r->send, 0);
    PyTypeObject *t = Py_TYPE((PyObject *)r);
    freefunc f = (freefunc)PyType_GetSlot(t, Py_tp_free);
    f(r);
    Py_DECREF(t);
}

/* answer gives the result of a request that is over. */
static PyObject *answer(Request *r, PyObject *status, PyObject *result) {
    if (status_put(status, &r->st) < 0) return NULL;
    int code = r->code;
    r->code = TUTTI_SUCCESS; /* told once */
    if (code != TUTTI_SUCCESS) return fail(code);
    Py_INCREF(result);
    return result;
}

static PyObject *request_wait(Request *r, PyObject *const *args, Py_ssize_t n, PyObject *kw) {
    static const char *const names[] = {"status"};
    PyObject *a[1];
    if (arguments("Wait", args, n, kw, names, 1, 0, a) < 0) return NULL;
    if (!r->over) {
        int code;
        GO(code, lib.tutti_mpi_wait(&r->handle, &r->st));
        if (request_end(r, code) < 0) return NULL;
    }
    return answer(r, a[0], Py_True);
}

static PyObject *request_test(Request *r, PyObject *const *args, Py_ssize_t n, PyObject *kw) {
    static const char *const names[] = {"status"};
    PyObject *a[1];
    if (arguments("Test", args, n, kw, names, 1, 0, a) < 0) return NULL;
    if (!r->over) {
        int flag = 0, code;
        GO(code, lib.tutti_mpi_test(&r->handle, &flag, &r->st));
        if (code == TUTTI_SUCCESS && !flag) Py_RETURN_FALSE;
        if (request_end(r, code) < 0) return NULL;
    }
    return answer(r, a[0], Py_True);
}

static PyObject *request_cancel(Request *r, PyObject *Py_UNUSED(ignored)) {
    if (r->over) Py_RETURN_NONE;
    int code;
    GO(code, lib.tutti_mpi_cancel(&r->handle));
    return done(code);
}

static PyObject *request_over(Request *r, void *Py_UNUSED(closure)) { return PyBool_FromLong(r->over); }

/* any waits for, or tests, one of a list of requests: its index, None where there are none that go on,
 * -1 where the test finds none done. The request's answer is then kept in it. */
static PyObject *any(PyObject *list, int block) {
    Py_ssize_t n = PyList_Check(list) ? PyList_Size(list) : -1;
    if (n < 0) return PyErr_SetString(PyExc_TypeError, "a list of requests is wanted"), NULL;
    tutti_request *hs = PyMem_Calloc((size_t)n + 1, sizeof *hs);
    if (!hs) return PyErr_NoMemory();
    for (Py_ssize_t i = 0; i < n; i++) {
        PyObject *o = PyList_GetItem(list, i);
        if (!PyObject_TypeCheck(o, Request_type)) {
            PyErr_SetString(PyExc_TypeError, "a list of requests is wanted");
            return PyMem_Free(hs), NULL;
        }
        hs[i] = ((Request *)o)->over ? TUTTI_REQUEST_NULL : ((Request *)o)->handle;
    }
    int index = TUTTI_UNDEFINED, flag = 1, code;
    tutti_status st = {0};
    if (block)
        GO(code, lib.tutti_mpi_wait_any((int)n, hs, &index, &st));
    else
        GO(code, lib.tutti_mpi_test_any((int)n, hs, &index, &flag, &st));
    PyMem_Free(hs);
    if (index >= 0 && index < n && flag) {
        Request *r = (Request *)PyList_GetItem(list, index);
        r->handle = TUTTI_REQUEST_NULL, r->st = st;
        if (request_end(r, code) < 0) return NULL;
        return PyLong_FromLong(index);
    }
    if (code != TUTTI_SUCCESS) return fail(code);
    if (!flag) return PyLong_FromLong(-1);
    Py_RETURN_NONE;
}

static PyObject *request_any(PyObject *Py_UNUSED(type), PyObject *const *args, Py_ssize_t n) {
    if (n != 2) return PyErr_SetString(PyExc_TypeError, "_any(list, block)"), NULL;
    int block = PyObject_IsTrue(args[1]);
    return block < 0 ? NULL : any(args[0], block);
}

PyMethodDef request_methods[] = {
    {"_wait", FASTCALL(request_wait), FAST, "Wait(status=None): waits until the operation is done."},
    {"_test", FASTCALL(request_test), FAST, "Test(status=None): says whether the operation is done."},
    {"_cancel", (PyCFunction)request_cancel, METH_NOARGS, "Takes back a receive that no message has matched."},
    {"_any", FASTCALL(request_any), METH_FASTCALL | METH_STATIC, "Waits for or tests one of a list."},
    {NULL, NULL, 0, NULL},
};

PyGetSetDef request_getset[] = {{"_over", (getter)request_over, NULL, "the operation is done", NULL}, {NULL, NULL, NULL, NULL, NULL}};

PyType_Slot request_slots[] = {
    {Py_tp_doc, "An operation under way."}, {Py_tp_methods, request_methods}, {Py_tp_getset, request_getset},
    {Py_tp_dealloc, request_dealloc}, {0, NULL},
};
