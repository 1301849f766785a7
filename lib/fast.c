/* fast.c: short messages on the shared memory without entering Go. What lies there, and when this
 * side may touch it, is said in mpi/internal/shmdev: layout.go and ring.go have the rings, fast.go
 * what is shared between the languages. The structures below are those of Go in C's words. */
#define _GNU_SOURCE
#include "fast.h"

#include <limits.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#ifdef __linux__
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

const uint8_t fast_type_size[] = {0, 1, 2, 4, 8, 1, 2, 4, 8, 4, 8, 8, 16, 1, 16, 16, 16, 16};

enum { NSLOT = 128, INLINE_MAX = 32, IN_PAYLOAD = 255, PIECE = 8 << 10, LINE = 64, EAGER = 0 };

typedef struct { /* slot */
    _Atomic uint32_t seq;
    uint8_t kind, inl;
    uint16_t src;
    uint32_t ctx;
    int32_t tag;
    uint64_t total, aux;
    char data[INLINE_MAX];
} slot;

typedef struct { /* ringHead */
    _Atomic uint64_t tail;
    char gap1[56];
    _Atomic uint64_t ptail;
    char gap2[56];
} ring_back;

typedef struct { /* rankPage, its beginning */
    _Atomic uint32_t word, asleep;
} rank_page;

typedef struct { /* FastRing */
    slot *slots;
    char *payload;
    uint64_t room;
    ring_back *back;
    union {
        struct { uint64_t head, tail, phead, ptail; } out;
        struct { uint64_t tail, told, ptail, ptold; } in;
    };
} fast_ring;

typedef struct { /* FastEngine */
    _Atomic uint32_t lock, want;
    uint32_t calm, epoch, me, n, spins, turn;
    _Atomic uint32_t *news;
    char *pages;
    uint64_t step;
    char gap[72];
    fast_ring rings[];
} fast_engine;

typedef struct { /* FastComm */
    int32_t handle;
    uint32_t ctx;
    int32_t rank, size;
    uint32_t quiet, room;
    fast_engine *engine;
    int32_t *members;
} fast_comm;

_Static_assert(sizeof(slot) == LINE && sizeof(ring_back) == 2 * LINE && sizeof(fast_ring) == LINE, "as in Go");
_Static_assert(sizeof(fast_engine) == 128 && sizeof(fast_comm) == 40, "as in Go");

static fast_comm comms[FAST_COMMS];

void *fast_place(int32_t handle) {
    uint32_t place = (uint32_t)handle & FAST_PLACE;
    return place < FAST_COMMS ? comms + place : NULL;
}

void *fast_memory(size_t bytes) {
    void *p = NULL;
    if (posix_memalign(&p, LINE, bytes) != 0) abort();
    return memset(p, 0, bytes);
}

size_t fast_sizes(int which) {
    return which == 0 ? sizeof(fast_engine) : which == 1 ? sizeof(fast_comm) : sizeof(fast_ring);
}

/* enter takes the lock of a communicator's rank if all is well and nobody else has it. */
static inline fast_comm *enter(tutti_comm h) {
    uint32_t place = (uint32_t)h & FAST_PLACE;
    if (place >= FAST_COMMS || comms[place].handle != h || h == TUTTI_COMM_NULL) return NULL;
    fast_comm *c = comms + place;
    fast_engine *e = c->engine;
    uint32_t free = 0;
    if (!atomic_compare_exchange_strong_explicit(&e->lock, &free, 1, memory_order_acquire, memory_order_relaxed)) return NULL;
    if (c->handle == h && c->engine == e && e->calm && c->quiet &&
        atomic_load_explicit(e->news, memory_order_relaxed) == e->epoch)
        return c;
    atomic_store_explicit(&e->lock, 0, memory_order_release);
    return NULL;
}

static inline int leave(fast_comm *c, int code) {
    atomic_store_explicit(&c->engine->lock, 0, memory_order_release);
    return code;
}

/* bell wakes a rank that sleeps. */
static inline void bell(fast_engine *e, int world) {
    rank_page *p = (rank_page *)(e->pages + (uint64_t)world * e->step);
    uint32_t asleep = 1;
    if (atomic_load_explicit(&p->asleep, memory_order_seq_cst) == 0) return;
    if (!atomic_compare_exchange_strong(&p->asleep, &asleep, 0)) return;
    atomic_fetch_add(&p->word, 1);
#ifdef __linux__
    syscall(SYS_futex, &p->word, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
#endif
}

static inline uint64_t whole_lines(uint64_t n) { return (n + LINE - 1) / LINE * LINE; }

/* room finds a free slot, and a piece of n bytes in the payload ring that does not wrap. */
static inline int room(fast_ring *r, uint64_t n, uint64_t *start) {
    if (r->out.head - r->out.tail >= NSLOT) {
        r->out.tail = atomic_load_explicit(&r->back->tail, memory_order_acquire);
        if (r->out.head - r->out.tail >= NSLOT) return 0;
    }
    if (n == 0) return 1;
    uint64_t at = r->out.phead, in = at % r->room;
    if (in + n > r->room) at += r->room - in;
    if (at + n - r->out.ptail > r->room) {
        r->out.ptail = atomic_load_explicit(&r->back->ptail, memory_order_acquire);
        if (at + n - r->out.ptail > r->room) return 0;
    }
    *start = at;
    return 1;
}

int fast_send(const void *buf, int64_t count, tutti_type type, int to, int tag, tutti_comm comm) {
    if (type < 1 || type > TUTTI_LOC_FLOAT64 || count < 0 || count > PIECE || tag < 0 || (count > 0 && !buf)) return TUTTI_PENDING;
    uint64_t n = (uint64_t)count * fast_type_size[type], pay = n > INLINE_MAX ? whole_lines(n) : 0, start = 0;
    if (n > PIECE) return TUTTI_PENDING;
    fast_comm *c = enter(comm);
    if (!c) return TUTTI_PENDING;
    fast_engine *e = c->engine;
    if (to < 0 || to >= c->size) return leave(c, TUTTI_PENDING);
    int world = c->members[to];
    fast_ring *r = e->rings + world;
    if (!r->slots || !room(r, pay, &start)) return leave(c, TUTTI_PENDING);
    slot *s = r->slots + r->out.head % NSLOT;
    s->kind = EAGER, s->src = (uint16_t)c->rank, s->ctx = c->ctx << 1, s->tag = tag, s->total = n, s->aux = 0;
    if (!pay) {
        s->inl = (uint8_t)n;
        if (n == 8)
            memcpy(s->data, buf, 8);
        else if (n)
            memcpy(s->data, buf, n);
    } else {
        memcpy(r->payload + start % r->room, buf, n);
        r->out.phead = start + pay;
        s->inl = IN_PAYLOAD, s->aux = r->out.phead;
        memcpy(s->data, &n, sizeof n);
    }
    /* In one order with the look at the bell: whoever falls asleep looks at the slot after he has said so. */
    atomic_store_explicit(&s->seq, (uint32_t)++r->out.head, memory_order_seq_cst);
    bell(e, world);
    return leave(c, TUTTI_SUCCESS);
}

/* look gives the next slot of a ring if it has been written. */
static inline slot *look(fast_ring *r) {
    if (!r->slots) return NULL;
    slot *s = r->slots + r->in.tail % NSLOT;
    return atomic_load_explicit(&s->seq, memory_order_acquire) == (uint32_t)(r->in.tail + 1) ? s : NULL;
}

/* fits says whether a slot is the whole of a message for this receive. */
static inline int fits(const fast_comm *c, const slot *s, int from, int tag) {
    return s->kind == EAGER && s->ctx == c->ctx << 1 && s->total <= PIECE && (tag == TUTTI_ANY_TAG || s->tag == tag) &&
           (from == TUTTI_ANY_SOURCE || s->src == from);
}

/* find waits a little for a message, and says on which rank's ring it came; -1 if Go has to see. */
static inline int find(fast_comm *c, int from, int tag, int spins, slot **found) {
    fast_engine *e = c->engine;
    slot *s = NULL;
    if (from != TUTTI_ANY_SOURCE && (from < 0 || from >= c->size)) return -1;
    if (tag < 0 && tag != TUTTI_ANY_TAG) return -1;
    if (spins <= 0) spins = (int)e->spins;
    int world = from >= 0 ? c->members[from] : 0;
    if (from >= 0 && !e->rings[e->n + world].slots) return -1;
    for (int i = 1;; i++) {
        if (from >= 0) {
            s = look(e->rings + e->n + world);
        } else {
            for (uint32_t k = 0; k < e->n && !s; k++) {
                world = (int)((e->turn + k) % e->n);
                s = look(e->rings + e->n + world);
            }
            if (s) e->turn = (uint32_t)world + 1;
        }
        if (s) break;
        if (i >= spins || atomic_load_explicit(&e->want, memory_order_relaxed)) return -1;
        if (i % 64 == 0 && atomic_load_explicit(e->news, memory_order_relaxed) != e->epoch) return -1;
    }
    *found = s;
    return fits(c, s, from, tag) ? world : -1;
}

/* take copies a message out of its slot, which holds it all, and gives the slot back. */
static inline void take(fast_comm *c, int world, slot *s, void *to, tutti_status *status) {
    fast_engine *e = c->engine;
    fast_ring *r = e->rings + e->n + world;
    int told = 0;
    if (status) *status = (tutti_status){.source = s->src, .tag = s->tag, .bytes = (int64_t)s->total};
    if (s->inl != IN_PAYLOAD) {
        if (s->total == 8)
            memcpy(to, s->data, 8);
        else
            memcpy(to, s->data, s->total);
    } else {
        memcpy(to, r->payload + (s->aux - whole_lines(s->total)) % r->room, s->total);
        r->in.ptail = s->aux;
        if (r->in.ptail - r->in.ptold >= r->room / 4) {
            atomic_store(&r->back->ptail, r->in.ptail);
            r->in.ptold = r->in.ptail, told = 1;
        }
    }
    if (++r->in.tail - r->in.told >= NSLOT / 4) {
        atomic_store(&r->back->tail, r->in.tail);
        r->in.told = r->in.tail, told = 1;
    }
    if (told) bell(e, world);
}

/* sound says whether a slot's numbers can be: a peer gone mad must not take us along. */
static inline int sound(const fast_comm *c, int world, const slot *s) {
    if (s->inl != IN_PAYLOAD) return s->total <= INLINE_MAX && s->inl == s->total;
    const fast_ring *r = c->engine->rings + c->engine->n + world;
    uint64_t n, at = (s->aux - whole_lines(s->total)) % r->room;
    memcpy(&n, s->data, sizeof n);
    return n == s->total && at + n <= r->room;
}

int fast_recv(void *buf, int64_t count, tutti_type type, int from, int tag, tutti_comm comm, tutti_status *status, int spins) {
    if (type < 1 || type > TUTTI_LOC_FLOAT64 || count < 0 || (count > 0 && !buf)) return TUTTI_PENDING;
    fast_comm *c = enter(comm);
    if (!c) return TUTTI_PENDING;
    slot *s;
    int world = find(c, from, tag, spins, &s);
    /* count may be as large as it likes: only a short message is taken, and only if it has room. */
    if (world < 0 || (s->total + fast_type_size[type] - 1) / fast_type_size[type] > (uint64_t)count || !sound(c, world, s))
        return leave(c, TUTTI_PENDING);
    take(c, world, s, buf, status);
    return leave(c, TUTTI_SUCCESS);
}

int fast_recv_alloc(tutti_alloc alloc, void *context, int from, int tag, tutti_comm comm, tutti_status *status, int spins) {
    char stage[PIECE]; /* alloc must not be called with the lock held. Not thread-local: a process that loads this late has little room for that */
    tutti_status st;
    fast_comm *c = enter(comm);
    if (!c) return TUTTI_PENDING;
    slot *s;
    int world = find(c, from, tag, spins, &s);
    if (world < 0 || !sound(c, world, s)) return leave(c, TUTTI_PENDING);
    take(c, world, s, stage, &st);
    leave(c, TUTTI_SUCCESS);
    void *to = alloc(context, st.bytes);
    if (!to) return TUTTI_ERR_BUFFER;
    memcpy(to, stage, (size_t)st.bytes);
    if (status) *status = st;
    return TUTTI_SUCCESS;
}
