/* layer.h: what the parts of libtuttimpi.so share. A call of MPI becomes a call of libtutti by
 * turning types into runs of plain elements: types.c knows how. */
#ifndef TUTTI_MPI_LAYER_H
#define TUTTI_MPI_LAYER_H

#include <stddef.h>

#include "../tutti.h"
#include "mpi.h"

#define PUBLIC __attribute__((visibility("default")))

/* A run of bytes in an element. */
typedef struct {
    int64_t at, len;
} run;

/* A type of MPI. Dense ones lie in memory as they travel: an element is `per` plain ones of type `plain`. */
typedef struct {
    tutti_type plain; /* what it is made of; TUTTI_BYTE if of several kinds */
    int per;          /* plain elements in one, as it travels */
    int dense;        /* no gaps and nothing out of order */
    int pair;         /* a value and an index for MPI_MINLOC and MPI_MAXLOC */
    int user;         /* made by the program */
    int64_t size;     /* bytes of data, for MPI_Type_size */
    int64_t lower, extent;
    int nruns;
    run *runs; /* NULL where dense */
} type;

/* The type behind a handle; NULL if there is none. */
const type *type_of(MPI_Datatype t);

/* A buffer as libtutti wants it. */
typedef struct {
    void *at;      /* the user's buffer, or a copy without gaps */
    int64_t count; /* plain elements */
    tutti_type plain;
    void *copy; /* to be freed */
    void *user; /* where to unpack to */
    int n;      /* elements there */
    const type *t;
} view;

/* view_of makes the view of count elements; with read the data are packed into a copy where that
 * is needed. view_end unpacks a copy with write, n plain elements at most (-1: all), and frees it. */
int view_of(view *v, const void *buf, int count, MPI_Datatype t, int read);
void view_end(view *v, int write, int64_t bytes);

/* Copies count elements between the places of a type and bytes without gaps. */
void pack(const type *t, const void *from, int64_t count, void *to);
void unpack(const type *t, void *to, const void *from, int64_t bytes);
int64_t travels(const type *t); /* bytes of an element on its way */

/* raise ends a call with an error: it calls the communicator's handler, the fatal one by default.
 * text NULL: the text is that of libtutti's last error. */
int raise_error(MPI_Comm comm, int code, const char *call, const char *text);
#define DONE(comm, code) done(comm, code, __func__)
static inline int done(MPI_Comm comm, int code, const char *call) {
    return __builtin_expect(code == TUTTI_SUCCESS, 1) ? MPI_SUCCESS : raise_error(comm, code, call, NULL);
}
/* A communicator made of another inherits its handler. */
void inherit(MPI_Comm from, MPI_Comm to);

/* The operation of libtutti for elements of a type; 0 if there is none, and then *byhand says
 * whether combine can do it. */
tutti_op op_for(MPI_Op op, MPI_Datatype t, int *byhand);
/* inout[i] = in[i] op inout[i] for count elements of MPI. */
void combine(MPI_Op op, MPI_Datatype t, void *in, void *inout, int count);

/* Requests that need something done at their end. */
void remember(MPI_Request request, view *v, int write);
void settle(MPI_Request request, const MPI_Status *status);
int remembered(void);
void wait_for_copies(void);

#endif
