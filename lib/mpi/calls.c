/* calls.c: the environment, communicators, groups, grids, messages and requests. */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "layer.h"

/* --- Errors ------------------------------------------------------------------------------------ */

/* Handlers of the program have handles from 3 on. */
enum { HANDLERS = 64 };
static MPI_Comm_errhandler_function *handlers[HANDLERS];

/* Which handler a communicator has, where it is not the fatal one. */
typedef struct {
    MPI_Comm comm;
    MPI_Errhandler handler;
} setting;
static setting *settings;
static int nsettings;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static MPI_Errhandler handler_of(MPI_Comm comm) {
    MPI_Errhandler h = MPI_ERRORS_ARE_FATAL;
    pthread_mutex_lock(&lock);
    for (int i = 0; i < nsettings; i++)
        if (settings[i].comm == comm) h = settings[i].handler;
    pthread_mutex_unlock(&lock);
    return h;
}

static void set_handler(MPI_Comm comm, MPI_Errhandler h) {
    pthread_mutex_lock(&lock);
    int i = 0;
    while (i < nsettings && settings[i].comm != comm) i++;
    if (h == MPI_ERRORS_ARE_FATAL) {
        if (i < nsettings) settings[i] = settings[--nsettings];
    } else {
        if (i == nsettings) {
            setting *more = realloc(settings, (size_t)(nsettings + 1) * sizeof *more);
            if (!more) abort();
            settings = more, nsettings++;
        }
        settings[i] = (setting){comm, h};
    }
    pthread_mutex_unlock(&lock);
}

void inherit(MPI_Comm from, MPI_Comm to) {
    if (to != MPI_COMM_NULL) set_handler(to, handler_of(from));
}

int raise_error(MPI_Comm comm, int code, const char *call, const char *text) {
    static _Thread_local char line[1200];
    const tutti_error *e = tutti_error_last();
    if (text)
        snprintf(line, sizeof line, "%s: %s", call, text);
    else if (e->hint[0])
        snprintf(line, sizeof line, "%s: %s (%s)", call, e->text, e->hint);
    else
        snprintf(line, sizeof line, "%s: %s", call, code == TUTTI_ERR_IN_STATUS ? tutti_error_class(code) : e->text);
    MPI_Errhandler h = handler_of(comm);
    if (h == MPI_ERRORS_ARE_FATAL) {
        int flag = 0;
        if (tutti_mpi_initialized(&flag) == TUTTI_SUCCESS && flag && tutti_mpi_finalized(&flag) == TUTTI_SUCCESS && !flag)
            tutti_mpi_abort(MPI_COMM_WORLD, 1, line);
        fprintf(stderr, "mpi: %s\n", line); /* there is no world to end, or no way to */
        exit(1);
    }
    if (h >= 3 && h < HANDLERS && handlers[h]) handlers[h](&comm, &code);
    return code;
}

PUBLIC int MPI_Error_class(int code, int *errorclass) {
    *errorclass = code < 64 ? code : MPI_ERR_OTHER;
    return MPI_SUCCESS;
}
PUBLIC int MPI_Error_string(int code, char *text, int *length) {
    const tutti_error *e = tutti_error_last();
    *length = snprintf(text, MPI_MAX_ERROR_STRING, "%s", e->code == code && code ? e->text : tutti_error_class(code));
    if (*length >= MPI_MAX_ERROR_STRING) *length = MPI_MAX_ERROR_STRING - 1;
    return MPI_SUCCESS;
}
PUBLIC int MPI_Comm_create_errhandler(MPI_Comm_errhandler_function *f, MPI_Errhandler *handler) {
    pthread_mutex_lock(&lock);
    int i = 3;
    while (i < HANDLERS && handlers[i]) i++;
    if (i < HANDLERS) handlers[i] = f;
    pthread_mutex_unlock(&lock);
    if (i == HANDLERS) return raise_error(MPI_COMM_WORLD, MPI_ERR_OTHER, __func__, "too many error handlers");
    *handler = i;
    return MPI_SUCCESS;
}
PUBLIC int MPI_Errhandler_free(MPI_Errhandler *handler) {
    *handler = MPI_ERRHANDLER_NULL; /* a communicator may still have it */
    return MPI_SUCCESS;
}
PUBLIC int MPI_Comm_set_errhandler(MPI_Comm comm, MPI_Errhandler handler) {
    int size, code = tutti_mpi_comm_size(comm, &size);
    if (code != TUTTI_SUCCESS) return DONE(comm, code);
    if (handler < 1 || handler >= HANDLERS || (handler >= 3 && !handlers[handler]))
        return raise_error(comm, MPI_ERR_ARG, __func__, "there is no such error handler");
    set_handler(comm, handler);
    return MPI_SUCCESS;
}
PUBLIC int MPI_Comm_get_errhandler(MPI_Comm comm, MPI_Errhandler *handler) {
    *handler = handler_of(comm);
    return MPI_SUCCESS;
}

/* --- The environment --------------------------------------------------------------------------- */

PUBLIC int MPI_Init(int *argc, char ***argv) {
    int code = tutti_mpi_init(argc, argv);
    return DONE(MPI_COMM_WORLD, code);
}
PUBLIC int MPI_Init_thread(int *argc, char ***argv, int required, int *provided) {
    (void)required;
    *provided = MPI_THREAD_MULTIPLE;
    return MPI_Init(argc, argv);
}
PUBLIC int MPI_Query_thread(int *provided) {
    *provided = MPI_THREAD_MULTIPLE;
    return MPI_SUCCESS;
}
PUBLIC int MPI_Initialized(int *flag) { return DONE(MPI_COMM_WORLD, tutti_mpi_initialized(flag)); }
PUBLIC int MPI_Finalized(int *flag) { return DONE(MPI_COMM_WORLD, tutti_mpi_finalized(flag)); }
PUBLIC int MPI_Finalize(void) {
    wait_for_copies();
    return DONE(MPI_COMM_WORLD, tutti_mpi_finalize());
}
PUBLIC int MPI_Abort(MPI_Comm comm, int code) {
    tutti_mpi_abort(comm == MPI_COMM_NULL ? MPI_COMM_WORLD : comm, code, "MPI_Abort");
    exit(code);
}
PUBLIC double MPI_Wtime(void) { return tutti_mpi_wtime(); }
PUBLIC double MPI_Wtick(void) { return tutti_mpi_wtick(); }
PUBLIC int MPI_Get_processor_name(char *name, int *length) {
    int code = tutti_mpi_processor_name(name, MPI_MAX_PROCESSOR_NAME);
    *length = (int)strlen(name);
    return DONE(MPI_COMM_WORLD, code);
}
PUBLIC int MPI_Get_version(int *version, int *subversion) {
    *version = MPI_VERSION, *subversion = MPI_SUBVERSION;
    return MPI_SUCCESS;
}
PUBLIC int MPI_Get_library_version(char *version, int *length) {
    *length = snprintf(version, MPI_MAX_LIBRARY_VERSION_STRING, "tutti %s", tutti_version());
    return MPI_SUCCESS;
}
PUBLIC int MPI_Alloc_mem(MPI_Aint bytes, MPI_Info info, void *base) {
    (void)info;
    *(void **)base = malloc((size_t)(bytes > 0 ? bytes : 1));
    return *(void **)base ? MPI_SUCCESS : raise_error(MPI_COMM_WORLD, MPI_ERR_OTHER, __func__, "no memory");
}
PUBLIC int MPI_Free_mem(void *base) {
    free(base);
    return MPI_SUCCESS;
}

/* --- Communicators, groups, grids -------------------------------------------------------------- */

/* derived ends a call that has made a communicator of another. */
static int derived(MPI_Comm from, MPI_Comm *to, int code, const char *call) {
    if (code == TUTTI_SUCCESS) inherit(from, *to);
    return done(from, code, call);
}
PUBLIC int MPI_Comm_rank(MPI_Comm comm, int *rank) { return DONE(comm, tutti_mpi_comm_rank(comm, rank)); }
PUBLIC int MPI_Comm_size(MPI_Comm comm, int *size) { return DONE(comm, tutti_mpi_comm_size(comm, size)); }
PUBLIC int MPI_Comm_dup(MPI_Comm comm, MPI_Comm *dup) {
    return derived(comm, dup, tutti_mpi_comm_dup(comm, dup), __func__);
}
PUBLIC int MPI_Comm_split(MPI_Comm comm, int color, int key, MPI_Comm *part) {
    return derived(comm, part, tutti_mpi_comm_split(comm, color, key, part), __func__);
}
PUBLIC int MPI_Comm_split_type(MPI_Comm comm, int kind, int key, MPI_Info info, MPI_Comm *part) {
    (void)info;
    if (kind == MPI_COMM_TYPE_SHARED) return derived(comm, part, tutti_mpi_comm_split_shared(comm, key, part), __func__);
    return derived(comm, part, tutti_mpi_comm_split(comm, MPI_UNDEFINED, key, part), __func__);
}
PUBLIC int MPI_Comm_create(MPI_Comm comm, MPI_Group group, MPI_Comm *made) {
    return derived(comm, made, tutti_mpi_comm_create(comm, group, made), __func__);
}
PUBLIC int MPI_Comm_free(MPI_Comm *comm) {
    MPI_Comm c = *comm;
    int code = tutti_mpi_comm_free(comm);
    if (code == TUTTI_SUCCESS) set_handler(c, MPI_ERRORS_ARE_FATAL);
    return DONE(c, code);
}
PUBLIC int MPI_Comm_compare(MPI_Comm a, MPI_Comm b, int *result) { return DONE(a, tutti_mpi_comm_compare(a, b, result)); }
PUBLIC int MPI_Comm_group(MPI_Comm comm, MPI_Group *group) { return DONE(comm, tutti_mpi_comm_group(comm, group)); }
PUBLIC int MPI_Comm_set_name(MPI_Comm comm, const char *name) { return DONE(comm, tutti_mpi_comm_set_name(comm, name)); }
PUBLIC int MPI_Comm_get_name(MPI_Comm comm, char *name, int *length) {
    int code = tutti_mpi_comm_get_name(comm, name, MPI_MAX_OBJECT_NAME);
    if (code == TUTTI_SUCCESS) *length = (int)strlen(name);
    return DONE(comm, code);
}
PUBLIC int MPI_Comm_test_inter(MPI_Comm comm, int *flag) {
    int size;
    *flag = 0;
    return DONE(comm, tutti_mpi_comm_size(comm, &size));
}
PUBLIC int MPI_Comm_get_attr(MPI_Comm comm, int key, void *value, int *flag) {
    static _Thread_local int values[8];
    int64_t highest;
    int code = tutti_mpi_tag_ub(comm, &highest);
    if (code != TUTTI_SUCCESS) return DONE(comm, code);
    *flag = 1;
    switch (key) {
    case MPI_TAG_UB: values[key] = (int)highest; break;
    case MPI_WTIME_IS_GLOBAL: values[key] = 1; break;
    case MPI_HOST: values[key] = MPI_PROC_NULL; break;
    case MPI_IO: values[key] = MPI_ANY_SOURCE; break;
    case MPI_UNIVERSE_SIZE: code = tutti_mpi_comm_size(MPI_COMM_WORLD, &values[key]); break;
    default: *flag = 0; return MPI_SUCCESS;
    }
    *(int **)value = &values[key];
    return DONE(comm, code);
}
PUBLIC int MPI_Attr_get(MPI_Comm comm, int key, void *value, int *flag) { return MPI_Comm_get_attr(comm, key, value, flag); }

#define GROUP(call) DONE(MPI_COMM_WORLD, call)
PUBLIC int MPI_Group_size(MPI_Group group, int *size) { return GROUP(tutti_mpi_group_size(group, size)); }
PUBLIC int MPI_Group_rank(MPI_Group group, int *rank) { return GROUP(tutti_mpi_group_rank(group, rank)); }
PUBLIC int MPI_Group_incl(MPI_Group group, int n, const int ranks[], MPI_Group *made) {
    return GROUP(tutti_mpi_group_incl(group, n, ranks, made));
}
PUBLIC int MPI_Group_excl(MPI_Group group, int n, const int ranks[], MPI_Group *made) {
    return GROUP(tutti_mpi_group_excl(group, n, ranks, made));
}
static int by_ranges(MPI_Group group, int n, int ranges[][3], int without, MPI_Group *made, const char *call) {
    int *ranks = NULL, k = 0;
    for (int i = 0; i < n; i++) {
        int first = ranges[i][0], end = ranges[i][1], step = ranges[i][2];
        if (step == 0) {
            free(ranks);
            return raise_error(MPI_COMM_WORLD, MPI_ERR_ARG, call, "a range of ranks with stride 0");
        }
        for (int r = first; step > 0 ? r <= end : r >= end; r += step) {
            int *more = realloc(ranks, (size_t)(k + 1) * sizeof *more);
            if (!more) abort();
            ranks = more, ranks[k++] = r;
        }
    }
    int code = without ? tutti_mpi_group_excl(group, k, ranks, made) : tutti_mpi_group_incl(group, k, ranks, made);
    free(ranks);
    return done(MPI_COMM_WORLD, code, call);
}
PUBLIC int MPI_Group_range_incl(MPI_Group group, int n, int ranges[][3], MPI_Group *made) {
    return by_ranges(group, n, ranges, 0, made, __func__);
}
PUBLIC int MPI_Group_range_excl(MPI_Group group, int n, int ranges[][3], MPI_Group *made) {
    return by_ranges(group, n, ranges, 1, made, __func__);
}
PUBLIC int MPI_Group_union(MPI_Group a, MPI_Group b, MPI_Group *made) { return GROUP(tutti_mpi_group_union(a, b, made)); }
PUBLIC int MPI_Group_intersection(MPI_Group a, MPI_Group b, MPI_Group *made) {
    return GROUP(tutti_mpi_group_intersection(a, b, made));
}
PUBLIC int MPI_Group_difference(MPI_Group a, MPI_Group b, MPI_Group *made) {
    return GROUP(tutti_mpi_group_difference(a, b, made));
}
PUBLIC int MPI_Group_compare(MPI_Group a, MPI_Group b, int *result) { return GROUP(tutti_mpi_group_compare(a, b, result)); }
PUBLIC int MPI_Group_translate_ranks(MPI_Group a, int n, const int ranks[], MPI_Group b, int out[]) {
    return GROUP(tutti_mpi_group_translate(a, n, ranks, b, out));
}
PUBLIC int MPI_Group_free(MPI_Group *group) { return GROUP(tutti_mpi_group_free(group)); }

PUBLIC int MPI_Dims_create(int n, int ndims, int dims[]) { return GROUP(tutti_mpi_dims_create(n, ndims, dims)); }
PUBLIC int MPI_Cart_create(MPI_Comm comm, int ndims, const int dims[], const int periods[], int reorder, MPI_Comm *grid) {
    (void)reorder;
    return derived(comm, grid, tutti_mpi_cart_create(comm, ndims, dims, periods, grid), __func__);
}
PUBLIC int MPI_Cartdim_get(MPI_Comm grid, int *ndims) { return DONE(grid, tutti_mpi_cart_dim(grid, ndims)); }
PUBLIC int MPI_Cart_get(MPI_Comm grid, int maxdims, int dims[], int periods[], int coords[]) {
    return DONE(grid, tutti_mpi_cart_get(grid, maxdims, dims, periods, coords));
}
PUBLIC int MPI_Cart_coords(MPI_Comm grid, int rank, int maxdims, int coords[]) {
    return DONE(grid, tutti_mpi_cart_coords(grid, rank, maxdims, coords));
}
PUBLIC int MPI_Cart_rank(MPI_Comm grid, const int coords[], int *rank) {
    return DONE(grid, tutti_mpi_cart_rank(grid, coords, rank));
}
PUBLIC int MPI_Cart_shift(MPI_Comm grid, int direction, int disp, int *from, int *to) {
    return DONE(grid, tutti_mpi_cart_shift(grid, direction, disp, from, to));
}
PUBLIC int MPI_Cart_sub(MPI_Comm grid, const int remain[], MPI_Comm *sub) {
    return derived(grid, sub, tutti_mpi_cart_sub(grid, remain, sub), __func__);
}
PUBLIC int MPI_Topo_test(MPI_Comm comm, int *status) {
    int ndims, code = tutti_mpi_cart_dim(comm, &ndims);
    *status = code == TUTTI_SUCCESS ? MPI_CART : MPI_UNDEFINED;
    return code == TUTTI_ERR_TOPOLOGY ? MPI_SUCCESS : DONE(comm, code);
}

/* --- Messages ---------------------------------------------------------------------------------- */

#define STATUS(s) ((tutti_status *)(s))
_Static_assert(sizeof(MPI_Status) == sizeof(tutti_status), "a status of MPI is one of libtutti");

/* VIEW(v, ...) makes a view or ends the call. */
#define VIEW(comm, v, buf, count, t, read)                                                                   \
    view v;                                                                                                  \
    do {                                                                                                     \
        int code_ = view_of(&v, buf, count, t, read);                                                        \
        if (__builtin_expect(code_ != MPI_SUCCESS, 0))                                                       \
            return raise_error(comm, code_, __func__, tutti_error_class(code_));                             \
    } while (0)

PUBLIC int MPI_Send(const void *buf, int count, MPI_Datatype t, int to, int tag, MPI_Comm comm) {
    VIEW(comm, v, buf, count, t, 1);
    int code = tutti_mpi_send(v.at, v.count, v.plain, to, tag, comm);
    view_end(&v, 0, -1);
    return DONE(comm, code);
}
PUBLIC int MPI_Rsend(const void *buf, int count, MPI_Datatype t, int to, int tag, MPI_Comm comm) {
    return MPI_Send(buf, count, t, to, tag, comm);
}
PUBLIC int MPI_Ssend(const void *buf, int count, MPI_Datatype t, int to, int tag, MPI_Comm comm) {
    VIEW(comm, v, buf, count, t, 1);
    int code = tutti_mpi_ssend(v.at, v.count, v.plain, to, tag, comm);
    view_end(&v, 0, -1);
    return DONE(comm, code);
}
PUBLIC int MPI_Recv(void *buf, int count, MPI_Datatype t, int from, int tag, MPI_Comm comm, MPI_Status *status) {
    VIEW(comm, v, buf, count, t, 0);
    if (!v.copy) return DONE(comm, tutti_mpi_recv(v.at, v.count, v.plain, from, tag, comm, STATUS(status)));
    tutti_status st;
    int code = tutti_mpi_recv(v.at, v.count, v.plain, from, tag, comm, &st);
    view_end(&v, code == TUTTI_SUCCESS || code == TUTTI_ERR_TRUNCATE, st.bytes);
    if (status) *STATUS(status) = st;
    return DONE(comm, code);
}
PUBLIC int MPI_Sendrecv(const void *out, int out_count, MPI_Datatype out_type, int to, int out_tag, void *in, int in_count,
                        MPI_Datatype in_type, int from, int in_tag, MPI_Comm comm, MPI_Status *status) {
    tutti_status st;
    VIEW(comm, w, in, in_count, in_type, 0);
    VIEW(comm, v, out, out_count, out_type, 1);
    int code = tutti_mpi_sendrecv(v.at, v.count, v.plain, to, out_tag, w.at, w.count, w.plain, from, in_tag, comm, &st);
    view_end(&v, 0, -1);
    view_end(&w, code == TUTTI_SUCCESS, st.bytes);
    if (status) *STATUS(status) = st;
    return DONE(comm, code);
}
PUBLIC int MPI_Sendrecv_replace(void *buf, int count, MPI_Datatype t, int to, int out_tag, int from, int in_tag, MPI_Comm comm,
                                MPI_Status *status) {
    tutti_status st;
    VIEW(comm, v, buf, count, t, 1);
    int code = tutti_mpi_sendrecv_replace(v.at, v.count, v.plain, to, out_tag, from, in_tag, comm, &st);
    view_end(&v, code == TUTTI_SUCCESS, st.bytes);
    if (status) *STATUS(status) = st;
    return DONE(comm, code);
}
PUBLIC int MPI_Probe(int from, int tag, MPI_Comm comm, MPI_Status *status) {
    return DONE(comm, tutti_mpi_probe(from, tag, comm, STATUS(status)));
}
PUBLIC int MPI_Iprobe(int from, int tag, MPI_Comm comm, int *flag, MPI_Status *status) {
    return DONE(comm, tutti_mpi_iprobe(from, tag, comm, flag, STATUS(status)));
}
PUBLIC int MPI_Mprobe(int from, int tag, MPI_Comm comm, MPI_Message *message, MPI_Status *status) {
    return DONE(comm, tutti_mpi_mprobe(from, tag, comm, message, STATUS(status)));
}
PUBLIC int MPI_Improbe(int from, int tag, MPI_Comm comm, int *flag, MPI_Message *message, MPI_Status *status) {
    return DONE(comm, tutti_mpi_improbe(from, tag, comm, flag, message, STATUS(status)));
}
PUBLIC int MPI_Mrecv(void *buf, int count, MPI_Datatype t, MPI_Message *message, MPI_Status *status) {
    tutti_status st;
    VIEW(MPI_COMM_WORLD, v, buf, count, t, 0);
    int code = tutti_mpi_mrecv(v.at, v.count, v.plain, message, &st);
    view_end(&v, code == TUTTI_SUCCESS, st.bytes);
    if (status) *STATUS(status) = st;
    return DONE(MPI_COMM_WORLD, code);
}
PUBLIC int MPI_Get_count(const MPI_Status *status, MPI_Datatype handle, int *count) {
    const type *t = type_of(handle);
    if (!t) return raise_error(MPI_COMM_WORLD, MPI_ERR_TYPE, __func__, tutti_error_class(MPI_ERR_TYPE));
    int64_t size = travels(t);
    if (size == 0)
        *count = 0;
    else
        *count = status->tutti_bytes % size ? MPI_UNDEFINED : (int)(status->tutti_bytes / size);
    return MPI_SUCCESS;
}
PUBLIC int MPI_Get_elements(const MPI_Status *status, MPI_Datatype handle, int *count) {
    const type *t = type_of(handle);
    if (!t) return raise_error(MPI_COMM_WORLD, MPI_ERR_TYPE, __func__, tutti_error_class(MPI_ERR_TYPE));
    int64_t size = t->per ? travels(t) / t->per : 1;
    *count = status->tutti_bytes % size ? MPI_UNDEFINED : (int)(status->tutti_bytes / size);
    return MPI_SUCCESS;
}

/* --- Requests ---------------------------------------------------------------------------------- */

/* Requests whose buffers are copies: at the end they are unpacked and freed. There are few. */
typedef struct later {
    struct later *next;
    MPI_Request request;
    view v;
    int write;
} later;
static later *all_later;
static int nlater;

int remembered(void) { return __atomic_load_n(&nlater, __ATOMIC_RELAXED); }

void remember(MPI_Request request, view *v, int write) {
    if (!v->copy) return;
    later *l = malloc(sizeof *l);
    if (!l) abort();
    pthread_mutex_lock(&lock);
    *l = (later){all_later, request, *v, write};
    all_later = l;
    nlater++;
    pthread_mutex_unlock(&lock);
}

void settle(MPI_Request request, const MPI_Status *status) {
    pthread_mutex_lock(&lock);
    for (later **at = &all_later; *at;) {
        later *l = *at;
        if (l->request != request) {
            at = &l->next;
            continue;
        }
        view_end(&l->v, l->write && status && !status->tutti_cancelled, status ? status->tutti_bytes : -1);
        *at = l->next;
        nlater--;
        free(l);
    }
    pthread_mutex_unlock(&lock);
}

/* Sends of MPI_Bsend that are not through; finalize waits for them. */
typedef struct copied {
    struct copied *next;
    tutti_request request;
    void *copy;
} copied;
static copied *copies;

static void reap(int block) {
    pthread_mutex_lock(&lock);
    copied *list = copies;
    copies = NULL;
    pthread_mutex_unlock(&lock);
    while (list) {
        copied *c = list;
        int flag = 1;
        list = c->next;
        if (block)
            tutti_mpi_wait(&c->request, NULL);
        else
            tutti_mpi_test(&c->request, &flag, NULL);
        if (flag) {
            free(c->copy), free(c);
            continue;
        }
        pthread_mutex_lock(&lock);
        c->next = copies, copies = c;
        pthread_mutex_unlock(&lock);
    }
}
void wait_for_copies(void) { reap(1); }

static void *attached;
static int attached_bytes;
PUBLIC int MPI_Buffer_attach(void *buf, int bytes) {
    attached = buf, attached_bytes = bytes; /* not needed: memory is taken as it is needed */
    return MPI_SUCCESS;
}
PUBLIC int MPI_Buffer_detach(void *buf, int *bytes) {
    reap(1);
    *(void **)buf = attached, *bytes = attached_bytes;
    attached = NULL, attached_bytes = 0;
    return MPI_SUCCESS;
}
PUBLIC int MPI_Bsend(const void *buf, int count, MPI_Datatype handle, int to, int tag, MPI_Comm comm) {
    VIEW(comm, v, buf, count, handle, 1);
    if (copies) reap(0);
    copied *c = malloc(sizeof *c);
    void *copy = v.copy ? v.copy : malloc((size_t)(count * travels(v.t)) + 1);
    if (!c || !copy) abort();
    if (!v.copy) memcpy(copy, v.at, (size_t)(count * travels(v.t)));
    *c = (copied){NULL, MPI_REQUEST_NULL, copy};
    int code = tutti_mpi_isend(copy, v.count, v.plain, to, tag, comm, &c->request);
    if (code != TUTTI_SUCCESS) {
        free(copy), free(c);
        return DONE(comm, code);
    }
    pthread_mutex_lock(&lock);
    c->next = copies, copies = c;
    pthread_mutex_unlock(&lock);
    return MPI_SUCCESS;
}

/* begun ends a call that has begun an operation on a view. */
static int begun(MPI_Comm comm, int code, MPI_Request *request, view *v, int write, const char *call) {
    if (code == TUTTI_SUCCESS)
        remember(*request, v, write);
    else
        view_end(v, 0, -1);
    return done(comm, code, call);
}
PUBLIC int MPI_Isend(const void *buf, int count, MPI_Datatype t, int to, int tag, MPI_Comm comm, MPI_Request *request) {
    VIEW(comm, v, buf, count, t, 1);
    int code = tutti_mpi_isend(v.at, v.count, v.plain, to, tag, comm, request);
    if (*request == TUTTI_REQUEST_DONE) view_end(&v, 0, -1);
    return begun(comm, code, request, &v, 0, __func__);
}
PUBLIC int MPI_Irsend(const void *buf, int count, MPI_Datatype t, int to, int tag, MPI_Comm comm, MPI_Request *request) {
    return MPI_Isend(buf, count, t, to, tag, comm, request);
}
PUBLIC int MPI_Issend(const void *buf, int count, MPI_Datatype t, int to, int tag, MPI_Comm comm, MPI_Request *request) {
    VIEW(comm, v, buf, count, t, 1);
    return begun(comm, tutti_mpi_issend(v.at, v.count, v.plain, to, tag, comm, request), request, &v, 0, __func__);
}
PUBLIC int MPI_Irecv(void *buf, int count, MPI_Datatype t, int from, int tag, MPI_Comm comm, MPI_Request *request) {
    VIEW(comm, v, buf, count, t, 0);
    return begun(comm, tutti_mpi_irecv(v.at, v.count, v.plain, from, tag, comm, request), request, &v, 1, __func__);
}

PUBLIC int MPI_Wait(MPI_Request *request, MPI_Status *status) {
    MPI_Request r = *request;
    MPI_Status own;
    if (!remembered()) return DONE(MPI_COMM_WORLD, tutti_mpi_wait(request, STATUS(status)));
    int code = tutti_mpi_wait(request, STATUS(&own));
    settle(r, code == TUTTI_SUCCESS ? &own : NULL);
    if (status) *status = own;
    return DONE(MPI_COMM_WORLD, code);
}
PUBLIC int MPI_Test(MPI_Request *request, int *flag, MPI_Status *status) {
    MPI_Request r = *request;
    MPI_Status own;
    int code = tutti_mpi_test(request, flag, STATUS(&own));
    if ((code != TUTTI_SUCCESS || *flag) && remembered()) settle(r, code == TUTTI_SUCCESS ? &own : NULL);
    if (status && *flag) *status = own;
    return DONE(MPI_COMM_WORLD, code);
}

/* The calls on several requests keep a copy of the handles where some have something left to do. */
typedef struct {
    MPI_Request *was;
    MPI_Status *statuses;
} several;

static several before(int n, const MPI_Request requests[], MPI_Status statuses[]) {
    several s = {NULL, statuses};
    if (n <= 0 || !remembered()) return s;
    s.was = malloc((size_t)n * sizeof *s.was);
    if (!statuses) s.statuses = malloc((size_t)n * sizeof *s.statuses);
    if (!s.was || !s.statuses) abort();
    memcpy(s.was, requests, (size_t)n * sizeof *s.was);
    return s;
}
static void after(several *s, int n, const int *indices, const MPI_Status *theirs) {
    if (!s->was) return;
    for (int i = 0; i < n; i++) {
        MPI_Request r = s->was[indices ? indices[i] : i];
        if (r != MPI_REQUEST_NULL) settle(r, s->statuses[i].MPI_ERROR == MPI_SUCCESS ? s->statuses + i : NULL);
    }
    free(s->was);
    if (s->statuses != theirs) free(s->statuses);
}
PUBLIC int MPI_Waitall(int n, MPI_Request requests[], MPI_Status statuses[]) {
    several s = before(n, requests, statuses);
    int code = tutti_mpi_wait_all(n, requests, STATUS(s.statuses));
    after(&s, n, NULL, statuses);
    return DONE(MPI_COMM_WORLD, code);
}
PUBLIC int MPI_Testall(int n, MPI_Request requests[], int *flag, MPI_Status statuses[]) {
    several s = before(n, requests, statuses);
    int code = tutti_mpi_test_all(n, requests, flag, STATUS(s.statuses));
    after(&s, *flag ? n : 0, NULL, statuses);
    return DONE(MPI_COMM_WORLD, code);
}
PUBLIC int MPI_Waitany(int n, MPI_Request requests[], int *index, MPI_Status *status) {
    MPI_Status own;
    several s = before(n, requests, &own);
    int code = tutti_mpi_wait_any(n, requests, index, STATUS(&own));
    after(&s, *index == MPI_UNDEFINED ? 0 : 1, index, &own);
    if (status) *status = own;
    return DONE(MPI_COMM_WORLD, code);
}
PUBLIC int MPI_Testany(int n, MPI_Request requests[], int *index, int *flag, MPI_Status *status) {
    MPI_Status own;
    several s = before(n, requests, &own);
    int code = tutti_mpi_test_any(n, requests, index, flag, STATUS(&own));
    after(&s, *flag && *index != MPI_UNDEFINED ? 1 : 0, index, &own);
    if (status && *flag) *status = own;
    return DONE(MPI_COMM_WORLD, code);
}
PUBLIC int MPI_Waitsome(int n, MPI_Request requests[], int *done_, int indices[], MPI_Status statuses[]) {
    several s = before(n, requests, statuses);
    int code = tutti_mpi_wait_some(n, requests, done_, indices, STATUS(s.statuses));
    after(&s, *done_ == MPI_UNDEFINED ? 0 : *done_, indices, statuses);
    return DONE(MPI_COMM_WORLD, code);
}
PUBLIC int MPI_Testsome(int n, MPI_Request requests[], int *done_, int indices[], MPI_Status statuses[]) {
    several s = before(n, requests, statuses);
    int code = tutti_mpi_test_some(n, requests, done_, indices, STATUS(s.statuses));
    after(&s, *done_ == MPI_UNDEFINED ? 0 : *done_, indices, statuses);
    return DONE(MPI_COMM_WORLD, code);
}
PUBLIC int MPI_Cancel(MPI_Request *request) { return DONE(MPI_COMM_WORLD, tutti_mpi_cancel(request)); }
PUBLIC int MPI_Test_cancelled(const MPI_Status *status, int *flag) {
    *flag = status->tutti_cancelled;
    return MPI_SUCCESS;
}
PUBLIC int MPI_Request_free(MPI_Request *request) {
    return DONE(MPI_COMM_WORLD, tutti_mpi_request_free(request)); /* a copy behind it stays: it may still be read */
}

/* --- Memory in common -------------------------------------------------------------------------- */

/* The unit of displacements of each window, by the window's place. */
enum { UNITS = 1024 };
static int units[UNITS];
static int *unit(MPI_Win win) { return units + (win & (UNITS - 1)); }

PUBLIC int MPI_Win_allocate_shared(MPI_Aint bytes, int disp_unit, MPI_Info info, MPI_Comm comm, void *base, MPI_Win *win) {
    (void)info;
    int code = tutti_mpi_win_allocate_shared(bytes, comm, win, base);
    if (code == TUTTI_SUCCESS) *unit(*win) = disp_unit;
    return DONE(comm, code);
}
PUBLIC int MPI_Win_shared_query(MPI_Win win, int rank, MPI_Aint *bytes, int *disp_unit, void *base) {
    int code = TUTTI_SUCCESS;
    if (rank == MPI_PROC_NULL) { /* the first rank that has offered anything */
        for (rank = 0; (code = tutti_mpi_win_query(win, rank, bytes, base)) == TUTTI_SUCCESS && *bytes == 0; rank++)
            ;
    } else {
        code = tutti_mpi_win_query(win, rank, bytes, base);
    }
    *disp_unit = *unit(win);
    return DONE(MPI_COMM_WORLD, code);
}
PUBLIC int MPI_Win_fence(int assertion, MPI_Win win) {
    (void)assertion;
    return DONE(MPI_COMM_WORLD, tutti_mpi_win_sync(win));
}
PUBLIC int MPI_Win_lock_all(int assertion, MPI_Win win) {
    (void)assertion;
    return MPI_Win_sync(win);
}
PUBLIC int MPI_Win_unlock_all(MPI_Win win) { return MPI_Win_sync(win); }
PUBLIC int MPI_Win_sync(MPI_Win win) {
    (void)win;
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    return MPI_SUCCESS;
}
PUBLIC int MPI_Win_free(MPI_Win *win) { return DONE(MPI_COMM_WORLD, tutti_mpi_win_free(win)); }
