/* types.c: the types of MPI as runs of bytes. */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>

#include "layer.h"

#define PLAIN(handle, p, bytes) [handle] = {.plain = p, .per = 1, .dense = 1, .size = bytes, .extent = bytes}
/* Pairs travel as plain elements as long as the whole. */
#define PAIR(handle, p, bytes, whole) [handle] = {.plain = p, .per = 1, .dense = 1, .pair = 1, .size = bytes, .extent = whole}

static const type basic[] = {
    PLAIN(MPI_CHAR, TUTTI_INT8, 1), PLAIN(MPI_SIGNED_CHAR, TUTTI_INT8, 1), PLAIN(MPI_UNSIGNED_CHAR, TUTTI_UINT8, 1),
    PLAIN(MPI_BYTE, TUTTI_UINT8, 1), PLAIN(MPI_SHORT, TUTTI_INT16, 2), PLAIN(MPI_UNSIGNED_SHORT, TUTTI_UINT16, 2),
    PLAIN(MPI_INT, TUTTI_INT32, 4), PLAIN(MPI_UNSIGNED, TUTTI_UINT32, 4), PLAIN(MPI_LONG, TUTTI_INT64, 8),
    PLAIN(MPI_UNSIGNED_LONG, TUTTI_UINT64, 8), PLAIN(MPI_LONG_LONG_INT, TUTTI_INT64, 8),
    PLAIN(MPI_UNSIGNED_LONG_LONG, TUTTI_UINT64, 8), PLAIN(MPI_FLOAT, TUTTI_FLOAT32, 4), PLAIN(MPI_DOUBLE, TUTTI_FLOAT64, 8),
    PLAIN(MPI_WCHAR, TUTTI_INT32, sizeof(wchar_t)), PLAIN(MPI_C_BOOL, TUTTI_BOOL, 1), PLAIN(MPI_INT8_T, TUTTI_INT8, 1),
    PLAIN(MPI_INT16_T, TUTTI_INT16, 2), PLAIN(MPI_INT32_T, TUTTI_INT32, 4), PLAIN(MPI_INT64_T, TUTTI_INT64, 8),
    PLAIN(MPI_UINT8_T, TUTTI_UINT8, 1), PLAIN(MPI_UINT16_T, TUTTI_UINT16, 2), PLAIN(MPI_UINT32_T, TUTTI_UINT32, 4),
    PLAIN(MPI_UINT64_T, TUTTI_UINT64, 8), PLAIN(MPI_C_FLOAT_COMPLEX, TUTTI_COMPLEX64, 8),
    PLAIN(MPI_C_DOUBLE_COMPLEX, TUTTI_COMPLEX128, 16), PLAIN(MPI_AINT, TUTTI_INT64, 8), PLAIN(MPI_COUNT, TUTTI_INT64, 8),
    PLAIN(MPI_OFFSET, TUTTI_INT64, 8), PLAIN(MPI_PACKED, TUTTI_UINT8, 1), PAIR(MPI_FLOAT_INT, TUTTI_UINT64, 8, 8),
    PAIR(MPI_DOUBLE_INT, TUTTI_COMPLEX128, 12, 16), PAIR(MPI_LONG_INT, TUTTI_COMPLEX128, 12, 16),
    PAIR(MPI_2INT, TUTTI_UINT64, 8, 8), PAIR(MPI_SHORT_INT, TUTTI_UINT64, 6, 8), PLAIN(MPI_INTEGER, TUTTI_INT32, 4),
    PLAIN(MPI_REAL, TUTTI_FLOAT32, 4), PLAIN(MPI_DOUBLE_PRECISION, TUTTI_FLOAT64, 8), PLAIN(MPI_COMPLEX, TUTTI_COMPLEX64, 8),
    PLAIN(MPI_DOUBLE_COMPLEX, TUTTI_COMPLEX128, 16), PLAIN(MPI_LOGICAL, TUTTI_INT32, 4), PLAIN(MPI_CHARACTER, TUTTI_INT8, 1),
    PLAIN(MPI_INTEGER1, TUTTI_INT8, 1), PLAIN(MPI_INTEGER2, TUTTI_INT16, 2), PLAIN(MPI_INTEGER4, TUTTI_INT32, 4),
    PLAIN(MPI_INTEGER8, TUTTI_INT64, 8), PLAIN(MPI_REAL4, TUTTI_FLOAT32, 4), PLAIN(MPI_REAL8, TUTTI_FLOAT64, 8),
    PLAIN(MPI_COMPLEX8, TUTTI_COMPLEX64, 8), PLAIN(MPI_COMPLEX16, TUTTI_COMPLEX128, 16), PAIR(MPI_2INTEGER, TUTTI_UINT64, 8, 8),
    PAIR(MPI_2REAL, TUTTI_UINT64, 8, 8), PAIR(MPI_2DOUBLE_PRECISION, TUTTI_COMPLEX128, 16, 16),
};

/* Those of the program have handles from FIRST on. A place is not given out again while it is in use. */
enum { FIRST = 128, MOST = 4096 };
static const type *made[MOST];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

const type *type_of(MPI_Datatype t) {
    if (t > 0 && t < (int)(sizeof basic / sizeof *basic)) return basic + t;
    if (t >= FIRST && t < FIRST + MOST) return __atomic_load_n(made + (t - FIRST), __ATOMIC_ACQUIRE);
    return NULL;
}

int64_t travels(const type *t) {
    static const uint8_t sizes[] = {0, 1, 2, 4, 8, 1, 2, 4, 8, 4, 8, 8, 16, 1};
    return (int64_t)t->per * sizes[t->plain];
}

void pack(const type *t, const void *from, int64_t count, void *to) {
    char *out = to;
    const char *in = from;
    if (t->dense) {
        memcpy(to, in + t->lower, (size_t)(count * t->extent));
        return;
    }
    for (int64_t i = 0; i < count; i++, in += t->extent)
        for (int k = 0; k < t->nruns; k++) {
            memcpy(out, in + t->runs[k].at, (size_t)t->runs[k].len);
            out += t->runs[k].len;
        }
}

void unpack(const type *t, void *to, const void *from, int64_t bytes) {
    char *out = to;
    const char *in = from;
    if (t->dense) {
        memcpy(out + t->lower, in, (size_t)bytes);
        return;
    }
    for (; bytes > 0 && t->nruns > 0; out += t->extent)
        for (int k = 0; k < t->nruns && bytes > 0; k++) {
            int64_t len = t->runs[k].len < bytes ? t->runs[k].len : bytes;
            memcpy(out + t->runs[k].at, in, (size_t)len);
            in += len, bytes -= len;
        }
}

int view_of(view *v, const void *buf, int count, MPI_Datatype handle, int read) {
    const type *t = type_of(handle);
    if (!t) return MPI_ERR_TYPE;
    if (count < 0) return MPI_ERR_COUNT;
    *v = (view){.at = (void *)buf, .count = (int64_t)count * t->per, .plain = t->plain, .user = (void *)buf, .n = count, .t = t};
    if (t->dense || buf == MPI_IN_PLACE) {
        if (buf && buf != MPI_IN_PLACE) v->at = (char *)buf + t->lower;
        return MPI_SUCCESS;
    }
    if (!(v->copy = v->at = malloc((size_t)(count * travels(t)) + 1))) return MPI_ERR_OTHER;
    if (read) pack(t, buf, count, v->copy);
    return MPI_SUCCESS;
}

void view_end(view *v, int write, int64_t bytes) {
    if (!v->copy) return;
    if (write) unpack(v->t, v->user, v->copy, bytes < 0 ? v->n * travels(v->t) : bytes);
    free(v->copy);
    v->copy = NULL;
}

/* --- Making types ------------------------------------------------------------------------------ */

/* A type under construction: runs are added element by element, neighbours joined. */
typedef struct {
    type t;
    int room, kinds;
    int64_t low, high;
} maker;

static int add_run(maker *m, int64_t at, int64_t len) {
    type *t = &m->t;
    if (len == 0) return 1;
    if (t->nruns > 0 && t->runs[t->nruns - 1].at + t->runs[t->nruns - 1].len == at) {
        t->runs[t->nruns - 1].len += len;
        return 1;
    }
    if (t->nruns == m->room) {
        m->room = m->room ? 2 * m->room : 8;
        run *more = realloc(t->runs, (size_t)m->room * sizeof *more);
        if (!more) return 0;
        t->runs = more;
    }
    t->runs[t->nruns++] = (run){at, len};
    return 1;
}

/* add puts n elements of a type behind each other from a displacement on. */
static int add(maker *m, const type *old, int64_t n, int64_t at) {
    if (n <= 0) return 1;
    if (m->kinds++ == 0)
        m->t.plain = old->plain;
    else if (m->t.plain != old->plain)
        m->t.plain = 0; /* of several kinds */
    int64_t low = at + old->lower, high = at + old->lower + n * old->extent;
    if (m->kinds == 1 || low < m->low) m->low = low;
    if (m->kinds == 1 || high > m->high) m->high = high;
    m->t.size += n * old->size;
    if (old->dense) return add_run(m, at + old->lower, n * old->extent);
    for (int64_t i = 0; i < n; i++)
        for (int k = 0; k < old->nruns; k++)
            if (!add_run(m, at + i * old->extent + old->runs[k].at, old->runs[k].len)) return 0;
    return 1;
}

static int keep(maker *m, MPI_Datatype *handle) {
    type *t = malloc(sizeof *t);
    if (!t) return MPI_ERR_OTHER;
    int64_t bytes = 0;
    for (int k = 0; k < m->t.nruns; k++) bytes += m->t.runs[k].len;
    *t = m->t;
    t->user = 1;
    if (t->plain == 0) t->plain = TUTTI_BYTE;
    t->per = 1; /* to learn the size of a plain one */
    t->per = (int)(bytes / travels(t));
    t->dense = t->nruns == 0 || (t->nruns == 1 && t->runs[0].at == t->lower && t->runs[0].len == t->extent);
    pthread_mutex_lock(&lock);
    int i = 0;
    while (i < MOST && made[i]) i++;
    if (i < MOST) __atomic_store_n(made + i, t, __ATOMIC_RELEASE);
    pthread_mutex_unlock(&lock);
    if (i == MOST) {
        free(t->runs), free(t);
        return MPI_ERR_OTHER;
    }
    *handle = FIRST + i;
    return MPI_SUCCESS;
}

static int finish(maker *m, int ok, MPI_Datatype *handle, const char *call) {
    m->t.lower = m->low, m->t.extent = m->high - m->low;
    int code = ok ? keep(m, handle) : MPI_ERR_OTHER;
    if (code == MPI_SUCCESS) return code;
    return raise_error(MPI_COMM_WORLD, code, call, "no memory for another type");
}

#define OLD(t, handle)                                                                          \
    const type *t = type_of(handle);                                                            \
    if (!t) return raise_error(MPI_COMM_WORLD, MPI_ERR_TYPE, __func__, "there is no such type")
#define COUNT(n) \
    if ((n) < 0) return raise_error(MPI_COMM_WORLD, MPI_ERR_COUNT, __func__, "a count is negative")

PUBLIC int MPI_Type_contiguous(int count, MPI_Datatype old, MPI_Datatype *t) {
    OLD(o, old);
    COUNT(count);
    maker m = {0};
    return finish(&m, add(&m, o, count, 0), t, __func__);
}
PUBLIC int MPI_Type_create_hvector(int count, int length, MPI_Aint stride, MPI_Datatype old, MPI_Datatype *t) {
    OLD(o, old);
    COUNT(count);
    COUNT(length);
    maker m = {0};
    int ok = 1;
    for (int i = 0; i < count && ok; i++) ok = add(&m, o, length, i * stride);
    return finish(&m, ok, t, __func__);
}
PUBLIC int MPI_Type_vector(int count, int length, int stride, MPI_Datatype old, MPI_Datatype *t) {
    OLD(o, old);
    return MPI_Type_create_hvector(count, length, stride * o->extent, old, t);
}
PUBLIC int MPI_Type_indexed(int count, const int lengths[], const int displs[], MPI_Datatype old, MPI_Datatype *t) {
    OLD(o, old);
    COUNT(count);
    maker m = {0};
    int ok = 1;
    for (int i = 0; i < count && ok; i++) ok = add(&m, o, lengths[i], displs[i] * o->extent);
    return finish(&m, ok, t, __func__);
}
PUBLIC int MPI_Type_create_hindexed(int count, const int lengths[], const MPI_Aint displs[], MPI_Datatype old, MPI_Datatype *t) {
    OLD(o, old);
    COUNT(count);
    maker m = {0};
    int ok = 1;
    for (int i = 0; i < count && ok; i++) ok = add(&m, o, lengths[i], displs[i]);
    return finish(&m, ok, t, __func__);
}

/* alignment is that of the widest plain element: a C struct is as long as a multiple of it. */
static int64_t alignment(const type *t) {
    type one = *t;
    one.per = 1;
    int64_t a = travels(&one);
    if (t->plain == TUTTI_COMPLEX64 || (t->pair && a == 8)) return 4;
    return a > 8 ? 8 : a;
}

PUBLIC int MPI_Type_create_struct(int count, const int lengths[], const MPI_Aint displs[], const MPI_Datatype types[],
                                  MPI_Datatype *t) {
    COUNT(count);
    maker m = {0};
    int ok = 1;
    int64_t align = 1;
    for (int i = 0; i < count && ok; i++) {
        OLD(o, types[i]);
        if (alignment(o) > align) align = alignment(o);
        ok = add(&m, o, lengths[i], displs[i]);
    }
    m.high = m.low + (m.high - m.low + align - 1) / align * align;
    return finish(&m, ok, t, __func__);
}
PUBLIC int MPI_Type_create_subarray(int ndims, const int sizes[], const int subsizes[], const int starts[], int order,
                                    MPI_Datatype old, MPI_Datatype *t) {
    OLD(o, old);
    if (ndims < 1 || ndims > 32) return raise_error(MPI_COMM_WORLD, MPI_ERR_DIMS, __func__, "from 1 to 32 dimensions can be");
    maker m = {0};
    int at[32] = {0}, ok = 1, fast = order == MPI_ORDER_C ? ndims - 1 : 0;
    int64_t total = 1, lines = 1;
    for (int d = 0; d < ndims; d++) {
        if (sizes[d] < 1 || subsizes[d] < 1 || starts[d] < 0 || starts[d] > sizes[d] - subsizes[d])
            return raise_error(MPI_COMM_WORLD, MPI_ERR_ARG, __func__, "the part does not lie in the array");
        total *= sizes[d];
        if (d != fast) lines *= subsizes[d];
    }
    for (int64_t l = 0; l < lines && ok; l++) {
        int64_t place = 0;
        for (int k = 0; k < ndims; k++) {
            int d = order == MPI_ORDER_C ? k : ndims - 1 - k;
            place = place * sizes[d] + starts[d] + (d == fast ? 0 : at[d]);
        }
        ok = add(&m, o, subsizes[fast], place * o->extent);
        for (int k = 1; k < ndims; k++) { /* the next line, the faster dimensions first */
            int d = order == MPI_ORDER_C ? ndims - 1 - k : k;
            if (++at[d] < subsizes[d]) break;
            at[d] = 0;
        }
    }
    m.low = 0, m.high = total * o->extent;
    return finish(&m, ok, t, __func__);
}
PUBLIC int MPI_Type_create_resized(MPI_Datatype old, MPI_Aint lower, MPI_Aint extent, MPI_Datatype *t) {
    OLD(o, old);
    maker m = {0};
    int ok = add(&m, o, 1, 0);
    m.low = lower, m.high = lower + extent;
    return finish(&m, ok, t, __func__);
}
PUBLIC int MPI_Type_dup(MPI_Datatype old, MPI_Datatype *t) {
    OLD(o, old);
    return MPI_Type_create_resized(old, o->lower, o->extent, t);
}
PUBLIC int MPI_Type_commit(MPI_Datatype *t) {
    OLD(o, *t);
    (void)o;
    return MPI_SUCCESS;
}
PUBLIC int MPI_Type_free(MPI_Datatype *t) {
    OLD(o, *t);
    if (!o->user) return raise_error(MPI_COMM_WORLD, MPI_ERR_TYPE, __func__, "a predefined type cannot be freed");
    __atomic_store_n(made + (*t - FIRST), NULL, __ATOMIC_RELEASE);
    *t = MPI_DATATYPE_NULL;
    return MPI_SUCCESS; /* what is under way may still use it: it is small, and stays */
}
PUBLIC int MPI_Type_size(MPI_Datatype t, int *size) {
    OLD(o, t);
    *size = (int)o->size;
    return MPI_SUCCESS;
}
PUBLIC int MPI_Type_get_extent(MPI_Datatype t, MPI_Aint *lower, MPI_Aint *extent) {
    OLD(o, t);
    *lower = o->lower, *extent = o->extent;
    return MPI_SUCCESS;
}
PUBLIC int MPI_Get_address(const void *at, MPI_Aint *address) {
    *address = (MPI_Aint)(intptr_t)at;
    return MPI_SUCCESS;
}
