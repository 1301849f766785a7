/* _mpi.h: what the parts of the Python extension tutti/_mpi.abi3.so share.
 *
 * The extension is thin: buffers and arguments are taken apart in C, the work is done by libtutti.so, and
 * whatever need not be quick is written in Python on top (python/tutti/mpi). A call with a short message first
 * tries with the interpreter's lock held, for about a microsecond; any other call releases the lock
 * and waits, and looks for signals a few times a second, so that Ctrl-C works.
 *
 * load.c finds libtutti.so; error.c makes exceptions; buffer.c understands buffers; point.c, collect.c and
 * object.c are communication; request.c operations under way; module.c the rest. */
#ifndef TUTTI_PYTHON_MPI_H
#define TUTTI_PYTHON_MPI_H

#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030B0000
#include <Python.h>
#include <stddef.h>
#include <structmember.h>

#include "../tutti.h"

/* The functions of libtutti.so that are used. */
#define FUNCTIONS(X) \
    X(tutti_error_last) X(tutti_errors_are_fatal) X(tutti_mpi_set_error_handler) X(tutti_error_class) X(tutti_version) \
    X(tutti_mpi_init) X(tutti_mpi_finalize) X(tutti_mpi_initialized) X(tutti_mpi_finalized) X(tutti_mpi_abort) \
    X(tutti_mpi_join) X(tutti_mpi_leave) X(tutti_mpi_new_segment) X(tutti_mpi_lost) X(tutti_mpi_revoke) \
    X(tutti_mpi_set_meanwhile) X(tutti_mpi_waiting) X(tutti_mpi_wtime) X(tutti_mpi_wtick) X(tutti_mpi_processor_name) \
    X(tutti_mpi_comm_rank) X(tutti_mpi_comm_size) X(tutti_mpi_comm_dup) X(tutti_mpi_comm_split) \
    X(tutti_mpi_comm_split_shared) X(tutti_mpi_comm_free) X(tutti_mpi_comm_set_name) X(tutti_mpi_comm_get_name) \
    X(tutti_mpi_tag_ub) X(tutti_mpi_comm_group) X(tutti_mpi_group_size) X(tutti_mpi_group_translate) X(tutti_mpi_group_free) \
    X(tutti_mpi_send) X(tutti_mpi_ssend) X(tutti_mpi_recv) X(tutti_mpi_sendrecv) \
    X(tutti_mpi_probe) X(tutti_mpi_iprobe) X(tutti_mpi_mprobe) X(tutti_mpi_improbe) X(tutti_mpi_mrecv) \
    X(tutti_mpi_try_send) X(tutti_mpi_try_recv) X(tutti_mpi_recv_alloc) X(tutti_mpi_try_recv_alloc) \
    X(tutti_mpi_isend) X(tutti_mpi_issend) X(tutti_mpi_irecv) X(tutti_mpi_wait) X(tutti_mpi_test) \
    X(tutti_mpi_wait_any) X(tutti_mpi_test_any) X(tutti_mpi_cancel) X(tutti_mpi_request_free) \
    X(tutti_mpi_barrier) X(tutti_mpi_bcast) X(tutti_mpi_reduce) X(tutti_mpi_allreduce) X(tutti_mpi_scan) X(tutti_mpi_exscan) \
    X(tutti_mpi_reduce_scatter) X(tutti_mpi_reduce_scatter_block) X(tutti_mpi_gather) X(tutti_mpi_gatherv) \
    X(tutti_mpi_scatter) X(tutti_mpi_scatterv) X(tutti_mpi_allgather) X(tutti_mpi_allgatherv) X(tutti_mpi_alltoall) \
    X(tutti_mpi_alltoallv) \
    X(tutti_mpi_ibarrier) X(tutti_mpi_ibcast) X(tutti_mpi_ireduce) X(tutti_mpi_iallreduce) X(tutti_mpi_iscan) \
    X(tutti_mpi_iexscan) X(tutti_mpi_ireduce_scatter) X(tutti_mpi_ireduce_scatter_block) X(tutti_mpi_igather) \
    X(tutti_mpi_igatherv) X(tutti_mpi_iscatter) X(tutti_mpi_iscatterv) X(tutti_mpi_iallgather) X(tutti_mpi_iallgatherv) \
    X(tutti_mpi_ialltoall) X(tutti_mpi_ialltoallv) \
    X(tutti_mpi_op_create) X(tutti_mpi_op_free) \
    X(tutti_mpi_win_allocate_shared) X(tutti_mpi_win_query) X(tutti_mpi_win_sync) X(tutti_mpi_win_free)

struct library {
#define X(f) __typeof__(f) *f;
    FUNCTIONS(X)
#undef X
};
extern struct library lib;

/* How often a receive looks, with the interpreter's lock held, before it gives the lock away. */
#define SPINS 600

/* --- load.c, error.c --- */
int load(const char *path);    /* -1 with ImportError */
PyObject *fail(int code);      /* raises what libtutti.so says; gives NULL */
PyObject *done(int code);      /* None, or fail */
int watch_signals(void);       /* begins to look for signals in calls that wait */
extern PyObject *error_class;  /* tutti.mpi.Error */

/* GO(code, call) makes a call that may wait, without the interpreter's lock. */
#define GO(code, call) \
    do { \
        Py_BEGIN_ALLOW_THREADS code = (call); \
        Py_END_ALLOW_THREADS \
    } while (0)

/* --- buffer.c --- */

/* Datatype: what elements are, base elements of libtutti.so. A pair is a C struct of a value and an int,
 * as MPI's MINLOC and MAXLOC want; libtutti.so has them as a value padded to 8 bytes and an int64. */
typedef struct {
    PyObject_HEAD
    int code;       /* TUTTI_... */
    int items;      /* how many of them one element of this type is */
    int64_t size;   /* bytes of one element, as it lies in the caller's memory */
    int value;      /* of a pair: bytes of the value, and where the int is; 0: no pair */
    int index;
} Datatype;
extern PyTypeObject *Datatype_type;
extern PyObject *in_place, *bottom; /* the objects MPI.IN_PLACE and MPI.BOTTOM */

/* A buffer as a call got it. */
typedef struct {
    void *ptr;             /* TUTTI_IN_PLACE, or memory */
    int64_t count;         /* of base elements; of one block where there are several */
    tutti_type type;
    int64_t size;          /* of one base element */
    int64_t total;         /* all base elements that the memory holds */
    int64_t *counts, *displs; /* of blocks that differ, in base elements */
    Py_buffer view;
    int held, strided, writable;
    Datatype *pair;        /* borrowed from a module that keeps it */
    void *packed;          /* a contiguous copy, if the memory itself will not do */
    int64_t offset;        /* bytes from the view's beginning */
} Buffer;

enum { READ = 0, WRITE = 1 };
/* Understands a buffer: an object with memory, or a list of it, counts and a type. blocks is how many
 * equal blocks it holds; vector says that blocks may differ. -1 with an exception. */
int buffer_take(Buffer *b, PyObject *o, int write, int blocks, int vector);
/* Gives it back; with filled, what came is first put where it belongs. -1 with an exception. */
int buffer_give(Buffer *b, int filled);
/* Makes two buffers of one call agree on a type of elements. -1 with an exception. */
int buffers_agree(Buffer *a, Buffer *b);

/* --- request.c --- */

typedef struct {
    PyObject_HEAD
    tutti_status st;
} Status;
extern PyTypeObject *Status_type, *Request_type, *Message_type;
extern PyObject *Request_class, *Message_class; /* the Python classes on top of them */
/* Puts what came into the Status object o, None or NULL: nobody wants it. -1 with an exception. */
int status_put(PyObject *o, const tutti_status *st);
int status_check(PyObject *o); /* says beforehand whether status_put could do that */

typedef struct {
    PyObject_HEAD
    tutti_request handle;
    Buffer send, recv;
    tutti_status st;
    int over;  /* the answer is in st */
    int code;  /* and this is its error */
} Request;
Request *request_new(void);
/* Ends a request whose operation is done. */
int request_end(Request *r, int code);

typedef struct {
    PyObject_HEAD
    tutti_message handle;
    tutti_status st;
} Message;

/* --- Comm: point.c, collect.c, object.c --- */

typedef struct {
    PyObject_HEAD
    tutti_comm handle;
    int rank, size; /* -1: not asked yet */
    int pending;    /* receives of objects that were begun and have no message yet */
} Comm;
extern PyTypeObject *Comm_type, *Op_type;
int comm_shape(Comm *c); /* learns rank and size; -1 with an exception */

typedef struct {
    PyObject_HEAD
    tutti_op handle;
    PyObject *function; /* of a program's own operation */
    int commutes;
} Op;

extern PyMethodDef point_methods[], collect_methods[], object_methods[];

/* Sorts the arguments of a fast call by name: out has count places, the first required must be given,
 * the others stay NULL. -1 with TypeError. */
int arguments(const char *function, PyObject *const *args, Py_ssize_t n, PyObject *kw, const char *const *names,
              int count, int required, PyObject **out);
/* An int argument; fallback where it is NULL. *bad is set with an exception. */
int int_or(PyObject *o, int fallback, int *bad);

#define FAST (METH_FASTCALL | METH_KEYWORDS)
#define FASTCALL(f) (PyCFunction)(void (*)(void))(f)

#endif
