//go:build cgo && linux

// What stands between Go and an MPI library that is known only when the program runs.
#define _GNU_SOURCE
#include "glue.h"
#include "abi.h"

#include <dlfcn.h>
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DECLARE(name, args) int(*name) args;
static struct { SYMBOLS(DECLARE, DECLARE, DECLARE) } mpi;

static const struct constants *abi;
static char *library; // the file it came from
static int large;     // it has the functions with 64-bit counts
static int64_t most = INT_MAX; // elements in one count of those without
static tutti_handle loc_type;  // 16 bytes
static const int sizes[TUTTI_TYPES] = {1, 2, 4, 8, 1, 2, 4, 8, 4, 8, 8, 16, 1, 16, 16, 16, 16}; // of the element types

// Where the library lets only one thread in at a time, that is seen to here.
static pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;
static int gated;

static inline void enter(void) {
	if (gated)
		pthread_mutex_lock(&gate);
}

static inline void leave(void) {
	if (gated)
		pthread_mutex_unlock(&gate);
}

// ---- handles and statuses

// cell is where a library reads or writes a handle.
typedef union {
	int narrow;
	tutti_handle wide;
} cell;

static inline cell put(tutti_handle h) {
	cell c = {.wide = h};
	if (abi->narrow)
		c.narrow = (int)h;
	return c;
}

static inline tutti_handle get(cell c) { return abi->narrow ? c.narrow : c.wide; }

static inline int source_of(int from) { return from == TUTTI_ANY_SOURCE ? abi->any_source : from; }

static inline int tag_of(int tag) { return tag == TUTTI_ANY_TAG ? abi->any_tag : tag; }

static inline tutti_handle type_of(int type) { return type < TUTTI_LOC ? abi->types[type] : loc_type; }

static void read_status(const status *s, tutti_result *r) {
	if (abi == &openmpi) {
		r->source = s->openmpi.source;
		r->tag = s->openmpi.tag;
		r->bytes = (int64_t)s->openmpi.bytes;
		r->cancelled = s->openmpi.cancelled != 0;
	} else if (abi == &mpich) {
		r->source = s->mpich.source;
		r->tag = s->mpich.tag;
		r->bytes = (int64_t)(unsigned)s->mpich.low | (int64_t)((unsigned)s->mpich.high_and_cancelled >> 1) << 32;
		r->cancelled = s->mpich.high_and_cancelled & 1;
	} else {
		r->source = s->standard.source;
		r->tag = s->standard.tag;
		r->cancelled = s->standard.internal[1] != 0;
		if (mpi.Get_count_c)
			mpi.Get_count_c(s, abi->byte, &r->bytes);
	}
}

// ---- finding and beginning

static char *loading_failed(void) {
	const char *why = dlerror();
	return strdup(why ? why : "it cannot be loaded");
}

static char *missing(const char *symbol) {
	char text[256];
	snprintf(text, sizeof text, "it has no %s, which MPI 3 has", symbol);
	return strdup(text);
}

static char *find_symbols(void *from) {
#define NEED(name, args) \
	if (!(mpi.name = (int(*) args)dlsym(from, "MPI_" #name))) \
		return missing("MPI_" #name);
#define MAY(name, args) mpi.name = (int(*) args)dlsym(from, "MPI_" #name);
	SYMBOLS(NEED, MAY, MAY)
	return 0;
}

// find_interface says which binary interface a library has. Libraries with two have two files, of
// which that of the standard says so in its name.
static char *find_interface(void *from) {
	int major = -1, minor = -1;
	if (dlsym(from, open_names[0].symbol)) {
		for (size_t i = 0; i < sizeof open_names / sizeof *open_names; i++) {
			if (!(*open_names[i].to = (tutti_handle)dlsym(from, open_names[i].symbol)))
				return missing(open_names[i].symbol);
		}
		abi = &openmpi;
	} else if (mpi.Abi_get_version && strstr(library, "abi") && mpi.Abi_get_version(&major, &minor) == 0 && major > 0) {
		abi = &standard;
	} else {
		abi = &mpich;
	}
	return 0;
}

// The signal actions of the process, which libraries change without asking, some when they are
// loaded, some when MPI begins: Go needs its own.
enum { SIGNALS = 65 };
static struct sigaction actions[SIGNALS];
static char known[SIGNALS];

static void save_signals(void) {
	for (int s = 1; s < SIGNALS; s++)
		known[s] = sigaction(s, 0, &actions[s]) == 0;
}

static void restore_signals(void) {
	for (int s = 1; s < SIGNALS; s++) {
		struct sigaction now;
		if (known[s] && sigaction(s, 0, &now) == 0 && now.sa_sigaction != actions[s].sa_sigaction)
			sigaction(s, &actions[s], 0);
	}
}

// forget_registrations asks transports not to keep memory registered with a network device between
// messages, unless the user has said what he wants. They find out by the C library's functions when
// memory is given back; Go asks the system directly, and a device would go on with pages that
// are no longer those of the buffer.
static void forget_registrations(void) {
	setenv("UCX_MEM_EVENTS", "no", 0);
	setenv("FI_MR_CACHE_MAX_COUNT", "0", 0);
	setenv("OMPI_MCA_mpi_leave_pinned", "0", 0);
}

char *tutti_load(const char *file, int *already) {
	void *from = RTLD_DEFAULT;
	save_signals();
	*already = dlsym(RTLD_DEFAULT, "MPI_Initialized") != 0;
	if (!*already)
		forget_registrations();
	if (!*already && !(from = dlopen(file, RTLD_NOW | RTLD_GLOBAL)))
		return loading_failed();
	char *why = find_symbols(from);
	if (why)
		return why;
	Dl_info info;
	library = strdup(dladdr((void *)mpi.Init_thread, &info) && info.dli_fname ? info.dli_fname : file);
	if ((why = find_interface(from)))
		return why;
#define SKIP(name, args)
#define HAS(name, args) &&mpi.name
	large = 1 SYMBOLS(SKIP, SKIP, HAS);
	const char *limit = getenv("TUTTI_MPI_COUNT_LIMIT");
	if (limit && atoll(limit) > 0) { // so that tests see what otherwise takes gigabytes
		most = atoll(limit);
		large = 0;
	}
	return 0;
}

char *tutti_library_file(void) { return library; }

char *tutti_library_version(void) {
	static char text[8192 + 1];
	int n = 0;
	if (mpi.Get_library_version(text, &n) != 0)
		text[0] = 0;
	return text;
}

int tutti_abi(void) { return abi == &openmpi ? TUTTI_OPENMPI : abi == &mpich ? TUTTI_MPICH : TUTTI_STANDARD; }

int64_t tutti_most(void) { return large ? INT64_MAX : most; }

int tutti_running(void) {
	int (*initialized)(int *) = (int (*)(int *))dlsym(RTLD_DEFAULT, "MPI_Initialized");
	int yes = 0;
	return initialized && initialized(&yes) == 0 && yes;
}

static int begin(int threads, int *mine, int *provided) {
	int ready = 0, err = mpi.Initialized(&ready);
	*mine = !ready;
	if (err)
		return err;
	if (ready)
		return mpi.Query_thread(provided);
	return mpi.Init_thread(0, 0, threads < 0 ? abi->multiple : threads == 2 ? abi->serialized : threads, provided);
}

int tutti_init(int threads, int *mine, int *multiple, tutti_handle *world, int *tag_ub) {
	int provided = 0, found = 0;
	int err = begin(threads, mine, &provided);
	restore_signals();
	if (err)
		return err;
	gated = provided < abi->multiple;
	*multiple = !gated;
	*world = abi->world;
	if ((err = mpi.Comm_set_errhandler(abi->world, abi->errors_return)))
		return err;
	int *ub = 0;
	err = mpi.Comm_get_attr(abi->world, abi->tag_ub, &ub, &found);
	*tag_ub = !err && found ? *ub : 32767; // which is the least that MPI allows
	cell type = put(0);
	if ((err = mpi.Type_contiguous(16, abi->byte, &type)) || (err = mpi.Type_commit(&type)))
		return err;
	loc_type = get(type);
	return 0;
}

int tutti_finalize(void) {
	int over = 0;
	cell type = put(loc_type);
	mpi.Type_free(&type);
	if (mpi.Finalized(&over) == 0 && over)
		return 0;
	return mpi.Finalize();
}

int tutti_abort(int code) { return mpi.Abort(abi->world, code); }

int tutti_error(int code, char *text, int room) {
	char all[8192 + 1]; // more than any library's longest
	int n = 0, class = 0;
	if (mpi.Error_string(code, all, &n) != 0)
		n = 0;
	all[n < (int)sizeof all ? n : 0] = 0;
	snprintf(text, (size_t)room, "%s", all);
	if (mpi.Error_class(code, &class) != 0)
		return TUTTI_ERR_OTHER;
	if (class == abi->truncate)
		return TUTTI_ERR_TRUNCATE;
	if (class == abi->no_memory || class == abi->no_space)
		return TUTTI_ERR_MEMORY;
	if (class == abi->unsupported || class == abi->not_shared)
		return TUTTI_ERR_UNSUPPORTED;
	if (class == abi->peer_gone)
		return TUTTI_ERR_PEER;
	for (const int *a = abi->arguments; *a; a++) {
		if (class == *a)
			return TUTTI_ERR_ARGUMENT;
	}
	return TUTTI_ERR_OTHER;
}

// ---- large counts

// big_type makes a type of n elements of a size, for libraries that count with int: so many whole
// chunks, and the rest behind them.
static int big_type(int64_t n, tutti_handle element, int size, cell *made) {
	cell chunk = put(0), parts[2] = {put(0), put(0)};
	int err = mpi.Type_contiguous((int)most, element, &chunk);
	if (err)
		return err;
	err = mpi.Type_contiguous((int)(n / most), get(chunk), &parts[0]);
	mpi.Type_free(&chunk);
	if (err)
		return err;
	if (!(err = mpi.Type_contiguous((int)(n % most), element, &parts[1]))) {
		const int ones[2] = {1, 1}, narrow[2] = {(int)get(parts[0]), (int)get(parts[1])};
		const tutti_handle wide[2] = {get(parts[0]), get(parts[1])};
		const intptr_t at[2] = {0, (intptr_t)(n / most * most * size)};
		if (!(err = mpi.Type_create_struct(2, ones, at, abi->narrow ? (const void *)narrow : (const void *)wide, made)))
			err = mpi.Type_commit(made);
		mpi.Type_free(&parts[1]);
	}
	mpi.Type_free(&parts[0]);
	return err;
}

// ---- point to point

static tutti_result failed(int err) { return (tutti_result){.err = err, .done = 1}; }

// settle asks for a request until it is done or has been asked for often enough.
static tutti_result settle(cell request, int spins, int yield) {
	tutti_result r = {0};
	status s = {0};
	for (int i = 1; spins > 0; i++) {
		int done = 0;
		enter();
		int err = mpi.Test(&request, &done, &s);
		leave();
		if (err || done) {
			read_status(&s, &r);
			r.err = err;
			r.done = 1;
			return r;
		}
		if (i >= spins)
			break;
		if (i >= yield)
			sched_yield();
	}
	r.handle = get(request);
	return r;
}

tutti_result tutti_send(uintptr_t buf, int64_t n, int type, int to, int tag, int sync, tutti_handle comm, int spins, int yield) {
	cell request = put(0);
	tutti_handle t = type_of(type);
	int err;
	enter();
	if (n <= most)
		err = (sync ? mpi.Issend : mpi.Isend)((const void *)buf, (int)n, t, to, tag, comm, &request);
	else if (large)
		err = (sync ? mpi.Issend_c : mpi.Isend_c)((const void *)buf, n, t, to, tag, comm, &request);
	else {
		cell big = put(0);
		if (!(err = big_type(n, t, sizes[type], &big))) {
			err = (sync ? mpi.Issend : mpi.Isend)((const void *)buf, 1, get(big), to, tag, comm, &request);
			mpi.Type_free(&big);
		}
	}
	leave();
	return err ? failed(err) : settle(request, spins, yield);
}

tutti_result tutti_recv(uintptr_t buf, int64_t n, int type, int from, int tag, tutti_handle comm, int spins, int yield) {
	cell request = put(0);
	tutti_handle t = type_of(type);
	int err;
	from = source_of(from);
	tag = tag_of(tag);
	enter();
	if (n <= most)
		err = mpi.Irecv((void *)buf, (int)n, t, from, tag, comm, &request);
	else if (large)
		err = mpi.Irecv_c((void *)buf, n, t, from, tag, comm, &request);
	else {
		cell big = put(0);
		if (!(err = big_type(n, t, sizes[type], &big))) {
			err = mpi.Irecv((void *)buf, 1, get(big), from, tag, comm, &request);
			mpi.Type_free(&big);
		}
	}
	leave();
	return err ? failed(err) : settle(request, spins, yield);
}

tutti_result tutti_test(tutti_handle request, int spins, int yield) { return settle(put(request), spins, yield); }

int tutti_cancel(tutti_handle request) {
	cell c = put(request);
	enter();
	int err = mpi.Cancel(&c);
	leave();
	return err;
}

int tutti_poll(tutti_handle *requests, tutti_result *results, int n, int spins, int yield, const int *stir) {
	int found = 0;
	for (int i = 1; !found; i++) {
		for (int k = 0; k < n; k++) {
			results[k] = settle(put(requests[k]), 1, 1);
			if (results[k].done) {
				requests[k] = 0;
				found++;
			}
		}
		if (i >= spins || __atomic_load_n(stir, __ATOMIC_RELAXED))
			break;
		if (!found && i >= yield)
			sched_yield();
	}
	return found;
}

tutti_result tutti_probe(int from, int tag, tutti_handle comm, int matched, int spins, int yield) {
	from = source_of(from);
	tag = tag_of(tag);
	for (int i = 1;; i++) {
		int found = 0, err;
		cell message = put(0);
		status s = {0}; // a probe of MPICH leaves part of it as it was
		enter();
		if (matched)
			err = mpi.Improbe(from, tag, comm, &found, &message, &s);
		else
			err = mpi.Iprobe(from, tag, comm, &found, &s);
		leave();
		if (err)
			return failed(err);
		if (found) {
			tutti_result r = {.done = 1, .handle = get(message)};
			read_status(&s, &r);
			return r;
		}
		if (i >= spins)
			return (tutti_result){0};
		if (i >= yield)
			sched_yield();
	}
}

tutti_result tutti_mrecv(uintptr_t buf, int64_t n, int type, tutti_handle message, int spins, int yield) {
	cell request = put(0), m = put(message);
	tutti_handle t = type_of(type);
	int err;
	enter();
	if (n <= most)
		err = mpi.Imrecv((void *)buf, (int)n, t, &m, &request);
	else if (large)
		err = mpi.Imrecv_c((void *)buf, n, t, &m, &request);
	else {
		cell big = put(0);
		if (!(err = big_type(n, t, sizes[type], &big))) {
			err = mpi.Imrecv((void *)buf, 1, get(big), &m, &request);
			mpi.Type_free(&big);
		}
	}
	leave();
	return err ? failed(err) : settle(request, spins, yield);
}

// ---- collective operations

// The numbers of package device; a v form is its plain form with arrays.
enum { BARRIER, BCAST, REDUCE, ALLREDUCE, GATHER, SCATTER, ALLGATHER, ALLTOALL, SCAN, EXSCAN, REDUCE_SCATTER };

// RUN calls the function for an operation, blocking or begun; BOTH that with counts of int or of 64
// bits. Each converts the counts that it is given, which have been checked to fit.
#define RUN(name, start_name, width, ...) \
	(c->start ? mpi.start_name##width(__VA_ARGS__, request) : mpi.name##width(__VA_ARGS__))
#define BOTH(name, start_name, ...) (c->wide ? RUN(name, start_name, _c, __VA_ARGS__) : RUN(name, start_name, , __VA_ARGS__))


static int carry_out(const tutti_call *c, tutti_handle type, tutti_handle op, cell *request) {
	const void *send = c->send == 1 ? (const void *)abi->in_place : (const void *)c->send;
	void *recv = c->recv == 1 ? (void *)abi->in_place : (void *)c->recv;
	const void *sc = (const void *)c->send_counts, *sd = (const void *)c->send_displs;
	const void *rc = (const void *)c->recv_counts, *rd = (const void *)c->recv_displs;
	int64_t sn = c->send_count, rn = c->recv_count;
	switch (c->kind) {
	case BARRIER:
		return c->start ? mpi.Ibarrier(c->comm, request) : mpi.Barrier(c->comm);
	case BCAST:
		return BOTH(Bcast, Ibcast, recv, rn, type, c->root, c->comm);
	case REDUCE:
		return BOTH(Reduce, Ireduce, send, recv, sn, type, op, c->root, c->comm);
	case ALLREDUCE:
		return BOTH(Allreduce, Iallreduce, send, recv, sn, type, op, c->comm);
	case SCAN:
		return BOTH(Scan, Iscan, send, recv, sn, type, op, c->comm);
	case EXSCAN:
		return BOTH(Exscan, Iexscan, send, recv, sn, type, op, c->comm);
	case REDUCE_SCATTER:
		return BOTH(Reduce_scatter, Ireduce_scatter, send, recv, rc, type, op, c->comm);
	case GATHER:
		if (rc)
			return BOTH(Gatherv, Igatherv, send, sn, type, recv, rc, rd, type, c->root, c->comm);
		return BOTH(Gather, Igather, send, sn, type, recv, rn, type, c->root, c->comm);
	case SCATTER:
		if (sc)
			return BOTH(Scatterv, Iscatterv, send, sc, sd, type, recv, rn, type, c->root, c->comm);
		return BOTH(Scatter, Iscatter, send, sn, type, recv, rn, type, c->root, c->comm);
	case ALLGATHER:
		if (rc)
			return BOTH(Allgatherv, Iallgatherv, send, sn, type, recv, rc, rd, type, c->comm);
		return BOTH(Allgather, Iallgather, send, sn, type, recv, rn, type, c->comm);
	case ALLTOALL:
		if (sc)
			return BOTH(Alltoallv, Ialltoallv, send, sc, sd, type, recv, rc, rd, type, c->comm);
		return BOTH(Alltoall, Ialltoall, send, sn, type, recv, rn, type, c->comm);
	}
	return 0;
}

// in_chunks does a reduction of more elements than an int can count, piece by piece.
static int in_chunks(tutti_call c, tutti_handle type, tutti_handle op, int64_t size) {
	int64_t left = c.send_count;
	int err = 0;
	while (left > 0 && !err) {
		c.send_count = left < most ? left : most;
		err = carry_out(&c, type, op, 0);
		left -= c.send_count;
		c.send += c.send > 1 ? (uintptr_t)(c.send_count * size) : 0;
		c.recv += c.recv > 1 ? (uintptr_t)(c.send_count * size) : 0;
	}
	return err;
}

// as_blocks does what moves blocks of more elements than an int can count, as blocks of one big
// element.
static int as_blocks(tutti_call c, tutti_handle type, int size, cell *request) {
	cell big = put(0);
	int err = big_type(c.send_count > c.recv_count ? c.send_count : c.recv_count, type, size, &big);
	if (err)
		return err;
	c.send_count = c.send_count > 0;
	c.recv_count = c.recv_count > 0;
	err = carry_out(&c, get(big), 0, request);
	mpi.Type_free(&big);
	return err;
}

tutti_result tutti_collective(tutti_call c) {
	cell request = put(0);
	tutti_handle type = c.type_handle ? c.type_handle : type_of(c.type);
	tutti_handle op = c.type_handle ? c.op_handle : c.op < 0 ? 0 : abi->ops[c.op];
	int reduces = c.kind == REDUCE || c.kind == ALLREDUCE || c.kind == SCAN || c.kind == EXSCAN;
	int64_t n = c.send_count > c.recv_count ? c.send_count : c.recv_count;
	int err;
	enter();
	if (n <= most || c.wide || c.kind == REDUCE_SCATTER)
		err = carry_out(&c, type, op, &request);
	else if (reduces)
		err = in_chunks(c, type, op, sizes[c.type]);
	else
		err = as_blocks(c, type, sizes[c.type], &request);
	leave();
	return (tutti_result){.err = err, .done = !c.start || err, .handle = get(request)};
}

// tuttiCombine is Go's: it finds the operation by the type, which is made for it alone.
extern void tuttiCombine(void *in, void *inout, int64_t n, tutti_handle type);

static void combine(void *in, void *inout, int *n, void *type) {
	tuttiCombine(in, inout, *n, abi->narrow ? *(int *)type : *(tutti_handle *)type);
}

int tutti_op_create(int commutes, int64_t element, tutti_handle *op, tutti_handle *type) {
	cell o = put(0), t = put(0);
	enter();
	int err = mpi.Type_contiguous((int)element, abi->byte, &t);
	if (!err)
		err = mpi.Type_commit(&t);
	if (!err)
		err = mpi.Op_create((void *)combine, commutes, &o);
	leave();
	*op = get(o);
	*type = get(t);
	return err;
}

void tutti_op_free(tutti_handle op, tutti_handle type) {
	cell o = put(op), t = put(type);
	enter();
	mpi.Op_free(&o);
	mpi.Type_free(&t);
	leave();
}

// ---- communicators

int tutti_rank(tutti_handle comm, int *rank, int *size) {
	enter();
	int err = mpi.Comm_rank(comm, rank);
	if (!err)
		err = mpi.Comm_size(comm, size);
	leave();
	return err;
}

int tutti_members(tutti_handle comm, int *ranks, int n) {
	cell mine = put(0), all = put(0);
	int err, *own = malloc((size_t)n * sizeof *own);
	if (!own)
		return abi->no_memory;
	for (int i = 0; i < n; i++)
		own[i] = i;
	enter();
	if (!(err = mpi.Comm_group(comm, &mine)) && !(err = mpi.Comm_group(abi->world, &all))) {
		err = mpi.Group_translate_ranks(get(mine), n, own, get(all), ranks);
		mpi.Group_free(&mine);
		mpi.Group_free(&all);
	}
	leave();
	free(own);
	return err;
}

int tutti_dup(tutti_handle comm, tutti_handle *made) {
	cell c = put(0);
	enter();
	int err = mpi.Comm_dup(comm, &c);
	leave();
	*made = get(c);
	return err;
}

int tutti_split(tutti_handle comm, int color, int key, int shared, tutti_handle *made) {
	cell c = put(0);
	enter();
	int err = shared ? mpi.Comm_split_type(comm, abi->comm_shared, key, abi->info_null, &c)
			 : mpi.Comm_split(comm, color, key, &c);
	leave();
	*made = err || get(c) == abi->comm_null ? 0 : get(c);
	return err;
}

int tutti_comm_free(tutti_handle comm) {
	cell c = put(comm);
	enter();
	int err = mpi.Comm_free(&c);
	leave();
	return err;
}

// ---- windows

int tutti_win_create(tutti_handle comm, int64_t bytes, tutti_handle *win) {
	cell w = put(0);
	void *base = 0;
	enter();
	int err = mpi.Win_allocate_shared((intptr_t)bytes, 1, abi->info_null, comm, &base, &w);
	leave();
	if (!err)
		memset(base, 0, (size_t)bytes);
	*win = get(w);
	return err;
}

int tutti_win_part(tutti_handle win, int rank, uintptr_t *base) {
	intptr_t size = 0;
	int unit = 0;
	void *at = 0;
	enter();
	int err = mpi.Win_shared_query(win, rank, &size, &unit, &at);
	leave();
	*base = (uintptr_t)at;
	return err;
}

int tutti_win_free(tutti_handle win) {
	cell w = put(win);
	enter();
	int err = mpi.Win_free(&w);
	leave();
	return err;
}
