/* conform.c: every function of tutti.h on any number of ranks, each result held against what it
 * must be. It prints "conform: N ranks, M checks" on rank 0, or the first things that are wrong. */
#include <complex.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tutti.h"

#define W TUTTI_COMM_WORLD

static int rank, size, checks, wrong;

#define CHECK(truth)                                                                          \
    do {                                                                                      \
        checks++;                                                                             \
        if (!(truth) && wrong++ < 10)                                                         \
            fprintf(stderr, "rank %d of %d, line %d: %s (%s)\n", rank, size, __LINE__, #truth, tutti_error_text()); \
    } while (0)
#define OK(call) CHECK((call) == TUTTI_SUCCESS)
#define FAILS(call, with) CHECK((call) == (with))

static void errors(void) {
    int x = 0, flag = 0;
    tutti_request q;
    FAILS(tutti_mpi_send(&x, 1, TUTTI_INT32, size, 0, W), TUTTI_ERR_RANK);
    const tutti_error *e = tutti_error_last();
    CHECK(e->code == TUTTI_ERR_RANK && e->rank == rank && e->peer == size && e->tag == 0);
    CHECK(!strcmp(e->op, "Send") && !strcmp(e->kind, "invalid") && !strcmp(e->comm, "world") && strstr(e->text, "no rank"));
    FAILS(tutti_mpi_send(&x, 1, TUTTI_INT32, 0, -5, W), TUTTI_ERR_TAG);
    FAILS(tutti_mpi_send(&x, -1, TUTTI_INT32, 0, 0, W), TUTTI_ERR_COUNT);
    FAILS(tutti_mpi_send(NULL, 1, TUTTI_INT32, 0, 0, W), TUTTI_ERR_BUFFER);
    FAILS(tutti_mpi_send(&x, 1, 99, 0, 0, W), TUTTI_ERR_TYPE);
    FAILS(tutti_mpi_send(&x, 1, TUTTI_INT32, 0, 0, TUTTI_COMM_NULL), TUTTI_ERR_COMM);
    FAILS(tutti_mpi_send(&x, 1, TUTTI_INT32, 0, 0, 12345), TUTTI_ERR_COMM);
    FAILS(tutti_mpi_recv(&x, 1, TUTTI_INT32, size, 0, W, NULL), TUTTI_ERR_RANK);
    FAILS(tutti_mpi_bcast(&x, 1, TUTTI_INT32, size, W), TUTTI_ERR_ROOT);
    FAILS(tutti_mpi_allreduce(&x, &x, 1, TUTTI_FLOAT64, TUTTI_BAND, W), TUTTI_ERR_OP);
    FAILS(tutti_mpi_allreduce(&x, &x, 1, TUTTI_INT32, 77, W), TUTTI_ERR_OP);
    q = 4242;
    FAILS(tutti_mpi_wait(&q, NULL), TUTTI_ERR_REQUEST);
    FAILS(tutti_mpi_test(&q, &flag, NULL), TUTTI_ERR_REQUEST);
    FAILS(tutti_mpi_cart_dim(W, &flag), TUTTI_ERR_TOPOLOGY);
    tutti_comm c = W;
    FAILS(tutti_mpi_comm_free(&c), TUTTI_ERR_COMM);
    FAILS(tutti_mpi_leave(&c), TUTTI_ERR_COMM);
    CHECK(strlen(tutti_error_class(TUTTI_ERR_TRUNCATE)) > 0 && strlen(tutti_version()) > 0);
}

static int told;
static void tell(tutti_comm comm, const tutti_error *e, void *context) {
    told += comm == *(tutti_comm *)context && e->code == TUTTI_ERR_RANK;
}
static void handlers(void) {
    tutti_comm dup, part;
    char name[64];
    OK(tutti_mpi_comm_dup(W, &dup));
    OK(tutti_mpi_comm_set_name(dup, "mine"));
    OK(tutti_mpi_comm_get_name(dup, name, sizeof name));
    CHECK(!strcmp(name, "mine"));
    OK(tutti_mpi_comm_get_name(dup, name, 3));
    CHECK(!strcmp(name, "mi"));
    OK(tutti_mpi_set_error_handler(dup, tell, &dup));
    FAILS(tutti_mpi_send(name, 1, TUTTI_BYTE, size, 0, dup), TUTTI_ERR_RANK);
    CHECK(told == 1);
    OK(tutti_mpi_comm_split(dup, 0, -rank, &part));
    FAILS(tutti_mpi_send(name, 1, TUTTI_BYTE, size, 0, part), TUTTI_ERR_RANK);
    CHECK(told == 1); /* inherited, but told with its own handle */
    OK(tutti_mpi_set_error_handler(dup, NULL, NULL));
    FAILS(tutti_mpi_send(name, 1, TUTTI_BYTE, size, 0, dup), TUTTI_ERR_RANK);
    CHECK(told == 1);
    OK(tutti_mpi_comm_free(&part));
    tutti_comm old = dup;
    OK(tutti_mpi_comm_free(&dup));
    CHECK(dup == TUTTI_COMM_NULL);
    FAILS(tutti_mpi_barrier(old), TUTTI_ERR_COMM);
}

static void fill(unsigned char *b, int64_t n, int seed) {
    for (int64_t i = 0; i < n; i++) b[i] = (unsigned char)(seed * 31 + i * 7 + i / 251);
}
static int filled(const unsigned char *b, int64_t n, int seed) {
    for (int64_t i = 0; i < n; i++)
        if (b[i] != (unsigned char)(seed * 31 + i * 7 + i / 251)) return 0;
    return 1;
}

static void *grow(void *context, int64_t bytes) {
    char **p = context;
    return *p = realloc(*p, (size_t)bytes + 1);
}
static void *refuse(void *context, int64_t bytes) {
    (void)context, (void)bytes;
    return NULL;
}

/* Every length class on a ring: slots, payload, several pieces, announced. */
static void messages(void) {
    static const int64_t lengths[] = {0, 1, 8, 32, 33, 4096, 8192, 8193, 16384, 16385, 300000, 5000000};
    int next = (rank + 1) % size, prev = (rank + size - 1) % size;
    unsigned char *out = malloc(5000000), *in = malloc(5000000);
    tutti_status st;
    tutti_request q[2];
    int64_t count;
    for (int turn = 0; turn < 3; turn++)
        for (unsigned k = 0; k < sizeof lengths / sizeof *lengths; k++) {
            int64_t n = lengths[k];
            fill(out, n, rank), memset(in, 0, (size_t)n);
            OK(tutti_mpi_irecv(in, n, TUTTI_BYTE, turn == 1 ? TUTTI_ANY_SOURCE : prev, 7, W, q));
            if (turn == 2)
                OK(tutti_mpi_issend(out, n, TUTTI_BYTE, next, 7, W, q + 1));
            else
                OK(tutti_mpi_isend(out, n, TUTTI_BYTE, next, 7, W, q + 1));
            OK(tutti_mpi_wait(q, &st));
            CHECK(st.source == prev && st.tag == 7 && st.bytes == n && !st.cancelled && filled(in, n, prev));
            OK(tutti_mpi_wait(q + 1, NULL));
            CHECK(q[0] == TUTTI_REQUEST_NULL && q[1] == TUTTI_REQUEST_NULL);
            memset(in, 0, (size_t)n);
            OK(tutti_mpi_sendrecv(out, n, TUTTI_BYTE, next, 8, in, n, TUTTI_BYTE, prev, TUTTI_ANY_TAG, W, &st));
            CHECK(st.source == prev && st.tag == 8 && st.bytes == n && filled(in, n, prev));
            OK(tutti_mpi_sendrecv_replace(out, n, TUTTI_BYTE, next, 9, prev, 9, W, NULL));
            CHECK(filled(out, n, prev));
        }
    /* Blocking, in order of ranks, so that nobody waits for ever. */
    if (size > 1)
        for (unsigned k = 0; k < sizeof lengths / sizeof *lengths; k++) {
            int64_t n = lengths[k];
            char *got = NULL;
            if (rank == 0) {
                fill(out, n, (int)k);
                OK(tutti_mpi_send(out, n, TUTTI_BYTE, 1, 1, W));
                OK(tutti_mpi_ssend(out, n, TUTTI_BYTE, 1, 2, W));
                OK(tutti_mpi_send(out, n, TUTTI_BYTE, 1, 3, W));
                OK(tutti_mpi_send(out, n, TUTTI_BYTE, 1, 4, W));
                OK(tutti_mpi_send(out, n, TUTTI_BYTE, 1, 5, W));
                OK(tutti_mpi_send(out, n, TUTTI_BYTE, 1, 6, W));
            } else if (rank == 1) {
                int flag = 0;
                tutti_message m;
                OK(tutti_mpi_recv(in, 5000000, TUTTI_BYTE, 0, 1, W, &st));
                CHECK(st.bytes == n && filled(in, n, (int)k));
                OK(tutti_mpi_probe(TUTTI_ANY_SOURCE, 2, W, &st));
                CHECK(st.source == 0 && st.bytes == n);
                OK(tutti_mpi_recv(in, n, TUTTI_BYTE, TUTTI_ANY_SOURCE, 2, W, NULL));
                CHECK(filled(in, n, (int)k));
                OK(tutti_mpi_mprobe(0, 3, W, &m, &st));
                CHECK(st.bytes == n && m != TUTTI_MESSAGE_NULL);
                OK(tutti_mpi_mrecv(in, n, TUTTI_BYTE, &m, NULL));
                CHECK(m == TUTTI_MESSAGE_NULL && filled(in, n, (int)k));
                while (!flag) OK(tutti_mpi_iprobe(0, 4, W, &flag, &st));
                for (flag = 0; !flag;) OK(tutti_mpi_improbe(0, 4, W, &flag, &m, &st));
                OK(tutti_mpi_mrecv(in, n, TUTTI_BYTE, &m, &st));
                CHECK(st.bytes == n && filled(in, n, (int)k));
                OK(tutti_mpi_recv_alloc(grow, &got, 0, TUTTI_ANY_TAG, W, &st));
                CHECK(st.tag == 5 && st.bytes == n && filled((unsigned char *)got, n, (int)k));
                FAILS(tutti_mpi_recv_alloc(refuse, NULL, 0, 6, W, NULL), TUTTI_ERR_BUFFER);
                free(got);
            }
        }
    /* A message longer than the buffer, in its slot and announced. */
    for (int64_t n = 8; n <= 80000; n *= 10000) {
        fill(out, n, 3);
        OK(tutti_mpi_isend(out, n, TUTTI_BYTE, rank, 1, W, q));
        FAILS(tutti_mpi_recv(in, 4, TUTTI_BYTE, rank, 1, W, &st), TUTTI_ERR_TRUNCATE);
        CHECK(st.bytes == 4 && filled(in, 4, 3) && st.error == TUTTI_ERR_TRUNCATE);
        OK(tutti_mpi_wait(q, NULL));
    }
    if (size > 1 && rank < 2) {
        if (rank == 0) OK(tutti_mpi_send(out, 8, TUTTI_BYTE, 1, 1, W));
        if (rank == 1) FAILS(tutti_mpi_recv(in, 4, TUTTI_BYTE, 0, 1, W, NULL), TUTTI_ERR_TRUNCATE);
    }
    OK(tutti_mpi_send(out, 8, TUTTI_BYTE, TUTTI_PROC_NULL, 1, W));
    OK(tutti_mpi_recv(in, 8, TUTTI_BYTE, TUTTI_PROC_NULL, 1, W, &st));
    CHECK(st.source == TUTTI_PROC_NULL && st.tag == TUTTI_ANY_TAG && st.bytes == 0);
    st.bytes = 24;
    OK(tutti_mpi_get_count(&st, TUTTI_FLOAT64, &count));
    CHECK(count == 3);
    OK(tutti_mpi_get_count(&st, TUTTI_COMPLEX128, &count));
    CHECK(count == TUTTI_UNDEFINED);
    free(out), free(in);
}

/* Messages are taken in their order, whichever side carries them. */
static void order(void) {
    if (size < 2) return;
    enum { N = 2000 };
    if (rank == 1) {
        for (int i = 0; i < N; i++) {
            double b[80] = {i};
            OK(tutti_mpi_send(b, i % 3 == 0 ? 80 : 1, TUTTI_FLOAT64, 0, i % 2, W));
        }
    } else if (rank == 0) {
        int next[2] = {0, 1};
        double b[80];
        tutti_status st;
        for (int i = 0; i < N; i++) { /* now by tag, now whatever comes */
            int tag = next[1] >= N ? 0 : next[0] >= N ? 1 : i % 5 == 0 ? 1 : i % 5 == 3 ? 0 : TUTTI_ANY_TAG;
            OK(tutti_mpi_recv(b, 80, TUTTI_FLOAT64, i % 7 ? 1 : TUTTI_ANY_SOURCE, tag, W, &st));
            CHECK(b[0] == next[st.tag]);
            next[st.tag] += 2;
        }
    }
    OK(tutti_mpi_barrier(W));
}

static void tries(void) {
    int x = 5, y = 0, code;
    tutti_status st;
    char *got = NULL;
    FAILS(tutti_mpi_try_recv(&y, 1, TUTTI_INT32, rank, 77, W, &st, 1), TUTTI_PENDING);
    OK(tutti_mpi_barrier(W));
    if (size < 2) return;
    if (rank == 0) {
        while ((code = tutti_mpi_try_send(&x, 1, TUTTI_INT32, 1, 4, W)) == TUTTI_PENDING)
            OK(tutti_mpi_send(&x, 1, TUTTI_INT32, 1, 3, W)); /* the first makes the connection */
        CHECK(code == TUTTI_SUCCESS);
        OK(tutti_mpi_send(&x, 1, TUTTI_INT32, 1, 5, W));
    } else if (rank == 1) {
        do {
            code = tutti_mpi_try_recv(&y, 1, TUTTI_INT32, 0, TUTTI_ANY_TAG, W, &st, 10000);
            if (code == TUTTI_PENDING) code = tutti_mpi_recv(&y, 1, TUTTI_INT32, 0, TUTTI_ANY_TAG, W, &st);
            CHECK(code == TUTTI_SUCCESS && y == 5 && st.bytes == 4);
        } while (st.tag == 3);
        CHECK(st.tag == 4);
        code = tutti_mpi_try_recv_alloc(grow, &got, 0, 5, W, &st, 0);
        if (code == TUTTI_PENDING) code = tutti_mpi_recv_alloc(grow, &got, 0, 5, W, &st);
        CHECK(code == TUTTI_SUCCESS && st.bytes == 4 && *(int *)(void *)got == 5);
        free(got);
    }
    OK(tutti_mpi_barrier(W));
}

static void requests(void) {
    enum { N = 6 };
    int out[N], in[N], index, done, flag, indices[N], next = (rank + 1) % size, prev = (rank + size - 1) % size;
    tutti_request q[2 * N], none = TUTTI_REQUEST_NULL;
    tutti_status st[2 * N], one;
    OK(tutti_mpi_wait(&none, &one));
    CHECK(one.source == TUTTI_ANY_SOURCE && one.tag == TUTTI_ANY_TAG && one.bytes == 0);
    OK(tutti_mpi_wait_any(1, &none, &index, NULL));
    CHECK(index == TUTTI_UNDEFINED);
    OK(tutti_mpi_wait_some(1, &none, &done, indices, NULL));
    CHECK(done == TUTTI_UNDEFINED);
    for (int how = 0; how < 7; how++) {
        for (int i = 0; i < N; i++) {
            out[i] = 100 * rank + i, in[i] = -1;
            OK(tutti_mpi_irecv(in + i, 1, TUTTI_INT32, prev, i, W, q + i));
        }
        for (int i = 0; i < N; i++) OK(tutti_mpi_isend(out + i, 1, TUTTI_INT32, next, i, W, q + N + i));
        switch (how) {
        case 0:
            OK(tutti_mpi_wait_all(2 * N, q, st));
            for (int i = 0; i < N; i++) CHECK(st[i].source == prev && st[i].tag == i && st[i].bytes == 4);
            break;
        case 1:
            for (flag = 0; !flag;) OK(tutti_mpi_test_all(2 * N, q, &flag, NULL));
            break;
        case 2:
            for (int k = 0; k < 2 * N; k++) {
                OK(tutti_mpi_wait_any(2 * N, q, &index, &one));
                CHECK(index >= 0 && index < 2 * N && q[index] == TUTTI_REQUEST_NULL && (index >= N || one.tag == index));
            }
            break;
        case 3:
            for (int k = 0; k < 2 * N;) {
                OK(tutti_mpi_test_any(2 * N, q, &index, &flag, &one));
                k += flag;
            }
            OK(tutti_mpi_test_any(2 * N, q, &index, &flag, &one));
            CHECK(flag && index == TUTTI_UNDEFINED);
            break;
        case 4:
        case 5:
            for (int k = 0; k < 2 * N; k += done) {
                int which[2 * N];
                if (how == 4)
                    OK(tutti_mpi_wait_some(2 * N, q, &done, which, st));
                else
                    OK(tutti_mpi_test_some(2 * N, q, &done, which, st));
                CHECK(done >= (how == 4) && done <= 2 * N);
                for (int i = 0; i < done; i++) CHECK(q[which[i]] == TUTTI_REQUEST_NULL && (which[i] >= N || st[i].tag == which[i]));
            }
            break;
        case 6:
            for (int i = 0; i < 2 * N; i++) {
                for (flag = 0; !flag;) OK(tutti_mpi_request_status(q[i], &flag, &one));
                CHECK(i >= N || one.tag == i);
                OK(tutti_mpi_test(q + i, &flag, &one));
                CHECK(flag);
            }
        }
        for (int i = 0; i < N; i++) CHECK(in[i] == 100 * prev + i);
        for (int i = 0; i < 2 * N; i++) CHECK(q[i] == TUTTI_REQUEST_NULL);
    }
    OK(tutti_mpi_irecv(in, 1, TUTTI_INT32, rank, 99, W, q));
    OK(tutti_mpi_cancel(q));
    OK(tutti_mpi_wait(q, &one));
    CHECK(one.cancelled == 1);
    OK(tutti_mpi_irecv(in, 1, TUTTI_INT32, rank, 98, W, q));
    OK(tutti_mpi_request_free(q));
    CHECK(q[0] == TUTTI_REQUEST_NULL);
    in[0] = 0;
    OK(tutti_mpi_send(out + 1, 1, TUTTI_INT32, rank, 98, W));
    CHECK(in[0] == out[1]);
    /* Of several requests each status tells its own error. */
    OK(tutti_mpi_irecv(in, 1, TUTTI_INT8, rank, 1, W, q));
    OK(tutti_mpi_irecv(in + 1, 1, TUTTI_INT32, rank, 2, W, q + 1));
    OK(tutti_mpi_send(out, 1, TUTTI_INT32, rank, 1, W));
    OK(tutti_mpi_send(out, 1, TUTTI_INT32, rank, 2, W));
    FAILS(tutti_mpi_wait_all(2, q, st), TUTTI_ERR_IN_STATUS);
    CHECK(st[0].error == TUTTI_ERR_TRUNCATE && st[1].error == TUTTI_SUCCESS && in[1] == out[0]);
}

/* With a request, operations are begun and waited for; without, they block. */
static int async;
static tutti_request q;
#define DO(name, ...) \
    OK(async ? tutti_mpi_i##name(__VA_ARGS__, W, &q) || tutti_mpi_wait(&q, NULL) : tutti_mpi_##name(__VA_ARGS__, W))

static void collectives(int n) {
    int64_t all = (int64_t)n * size, counts[64], displs[64], at = 0;
    int *a = malloc((size_t)(all + 200) * sizeof *a), *b = malloc((size_t)(all + 200) * sizeof *b);
    int root = size - 1, sum = size * (size - 1) / 2;
    OK(async ? tutti_mpi_ibarrier(W, &q) || tutti_mpi_wait(&q, NULL) : tutti_mpi_barrier(W));
    for (int i = 0; i < n; i++) a[i] = rank == root ? 5 * i : -1;
    DO(bcast, a, n, TUTTI_INT32, root);
    for (int i = 0; i < n; i++) CHECK(a[i] == 5 * i);
    for (int i = 0; i < n; i++) a[i] = rank + i, b[i] = -1;
    DO(reduce, a, b, n, TUTTI_INT32, TUTTI_SUM, root);
    for (int i = 0; i < n; i++) CHECK(b[i] == (rank == root ? sum + size * i : -1));
    DO(allreduce, a, b, n, TUTTI_INT32, TUTTI_MAX);
    for (int i = 0; i < n; i++) CHECK(b[i] == size - 1 + i);
    memcpy(b, a, (size_t)n * sizeof *a);
    DO(allreduce, TUTTI_IN_PLACE, b, n, TUTTI_INT32, TUTTI_SUM);
    for (int i = 0; i < n; i++) CHECK(b[i] == sum + size * i);
    memcpy(b, a, (size_t)n * sizeof *a);
    DO(reduce, rank == root ? TUTTI_IN_PLACE : b, rank == root ? b : NULL, n, TUTTI_INT32, TUTTI_SUM, root);
    for (int i = 0; i < n && rank == root; i++) CHECK(b[i] == sum + size * i);
    DO(scan, a, b, n, TUTTI_INT32, TUTTI_SUM);
    for (int i = 0; i < n; i++) CHECK(b[i] == rank * (rank + 1) / 2 + (rank + 1) * i);
    for (int i = 0; i < n; i++) b[i] = -7;
    DO(exscan, a, b, n, TUTTI_INT32, TUTTI_SUM);
    for (int i = 0; i < n; i++) CHECK(b[i] == (rank == 0 ? -7 : rank * (rank - 1) / 2 + rank * i));
    for (int64_t i = 0; i < all; i++) a[i] = (int)(rank + i);
    DO(reduce_scatter_block, a, b, n, TUTTI_INT32, TUTTI_SUM);
    for (int i = 0; i < n; i++) CHECK(b[i] == sum + size * (rank * n + i));
    memcpy(b, a, (size_t)all * sizeof *a);
    DO(reduce_scatter_block, TUTTI_IN_PLACE, b, n, TUTTI_INT32, TUTTI_SUM);
    for (int i = 0; i < n; i++) CHECK(b[i] == sum + size * (rank * n + i));
    for (int i = 0; i < n; i++) a[i] = 1000 * rank + i;
    DO(gather, a, rank == root ? b : NULL, n, TUTTI_INT32, root);
    for (int64_t i = 0; i < all && rank == root; i++) CHECK(b[i] == 1000 * (i / n) + i % n);
    DO(allgather, a, b, n, TUTTI_INT32);
    for (int64_t i = 0; i < all; i++) CHECK(b[i] == 1000 * (i / n) + i % n);
    for (int64_t i = 0; i < all; i++) b[i] = i / n == rank ? (int)(1000 * rank + i % n) : -1;
    DO(allgather, TUTTI_IN_PLACE, b, n, TUTTI_INT32);
    for (int64_t i = 0; i < all; i++) CHECK(b[i] == 1000 * (i / n) + i % n);
    DO(scatter, rank == root ? b : NULL, a, n, TUTTI_INT32, root);
    for (int i = 0; i < n; i++) CHECK(a[i] == 1000 * rank + i);
    DO(scatter, b, rank == root ? TUTTI_IN_PLACE : a, n, TUTTI_INT32, root);
    for (int64_t i = 0; i < all; i++) a[i] = (int)(1000000 * rank + i);
    DO(alltoall, a, b, n, TUTTI_INT32);
    for (int64_t i = 0; i < all; i++) CHECK(b[i] == 1000000 * (i / n) + rank * n + i % n);
    DO(alltoall, TUTTI_IN_PLACE, a, n, TUTTI_INT32);
    CHECK(!memcmp(a, b, (size_t)all * sizeof *a));
    /* Rank r has r elements more than one, and a gap before each block. */
    int mine = rank + 1;
    for (int r = 0; r < size; r++) counts[r] = r + 1, displs[r] = at + r, at += r + 1;
    int64_t span = displs[size - 1] + counts[size - 1];
    for (int i = 0; i < mine; i++) a[i] = 100 * rank + i;
    for (int64_t i = 0; i < span; i++) b[i] = -1;
    DO(gatherv, a, mine, b, counts, displs, TUTTI_INT32, root);
    for (int r = 0; r < size && rank == root; r++)
        for (int i = 0; i <= r; i++) CHECK(b[displs[r] + i] == 100 * r + i);
    for (int64_t i = 0; i < span; i++) b[i] = -1;
    DO(allgatherv, a, mine, b, counts, displs, TUTTI_INT32);
    for (int r = 0; r < size; r++)
        for (int i = 0; i <= r; i++) CHECK(b[displs[r] + i] == 100 * r + i);
    for (int r = 1; r < size; r++) CHECK(b[displs[r] - 1] == -1);
    DO(scatterv, b, counts, displs, a, mine, TUTTI_INT32, root);
    for (int i = 0; i < mine; i++) CHECK(a[i] == 100 * rank + i);
    DO(gatherv, a, mine, b, counts, NULL, TUTTI_INT32, root); /* one behind the other */
    for (int r = 0; r < size && rank == root; r++) CHECK(b[r * (r + 1) / 2 + r] == 100 * r + r);
    int64_t total = (int64_t)size * (size + 1) / 2;
    for (int64_t i = 0; i < total; i++) a[i] = (int)(rank + i);
    DO(reduce_scatter, a, b, counts, TUTTI_INT32, TUTTI_SUM);
    for (int i = 0; i < mine; i++) CHECK(b[i] == sum + size * (rank * (rank + 1) / 2 + i));
    /* Rank r sends s+1 elements to rank s. */
    int64_t in[64], indispls[64], outdispls[64];
    for (int r = 0; r < size; r++) {
        in[r] = rank + 1, indispls[r] = r * (rank + 1), outdispls[r] = r * (r + 1) / 2;
        for (int i = 0; i <= r; i++) a[outdispls[r] + i] = 10000 * rank + 100 * r + i;
    }
    DO(alltoallv, a, counts, outdispls, b, in, indispls, TUTTI_INT32);
    for (int r = 0; r < size; r++)
        for (int i = 0; i <= rank; i++) CHECK(b[indispls[r] + i] == 10000 * r + 100 * rank + i);
    free(a), free(b);
}

/* Every type with every reduction: of the values 1 and 2 on even and odd ranks. */
#define TYPE(T, type, as_number)                                                                      \
    do {                                                                                              \
        T x = (T)(rank % 2 + 1), y = 0;                                                               \
        int odd = size / 2, even = size - odd;                                                        \
        OK(tutti_mpi_allreduce(&x, &y, 1, type, TUTTI_SUM, W));                                       \
        CHECK(y == (T)(even + 2 * odd));                                                              \
        OK(tutti_mpi_allreduce(&x, &y, 1, type, TUTTI_PROD, W));                                      \
        CHECK(y == (T)(1 << odd));                                                                    \
        OK(tutti_mpi_allreduce(&x, &y, 1, type, TUTTI_LAND, W));                                      \
        CHECK(y == (T)1);                                                                             \
        OK(tutti_mpi_allreduce(&x, &y, 1, type, TUTTI_LXOR, W));                                      \
        CHECK(y == (T)(size % 2));                                                                    \
        if (as_number) {                                                                              \
            OK(tutti_mpi_allreduce(&x, &y, 1, type, TUTTI_MAX, W));                                   \
            CHECK(y == (T)(size > 1 ? 2 : 1));                                                        \
            OK(tutti_mpi_allreduce(&x, &y, 1, type, TUTTI_MIN, W));                                   \
            CHECK(y == (T)1);                                                                         \
        } else {                                                                                      \
            FAILS(tutti_mpi_allreduce(&x, &y, 1, type, TUTTI_MAX, W), TUTTI_ERR_OP);                  \
        }                                                                                             \
        int bytes = 0;                                                                                \
        OK(tutti_mpi_type_size(type, &bytes));                                                        \
        CHECK(bytes == sizeof(T));                                                                    \
    } while (0)
#define INTEGER(T, type)                                                 \
    do {                                                                 \
        T x = (T)(rank % 2 + 1), y = 0;                                  \
        TYPE(T, type, 1);                                                \
        OK(tutti_mpi_allreduce(&x, &y, 1, type, TUTTI_BOR, W));          \
        CHECK(y == (T)(size > 1 ? 3 : 1));                               \
        OK(tutti_mpi_allreduce(&x, &y, 1, type, TUTTI_BAND, W));         \
        CHECK(y == (T)(size > 1 ? 0 : 1));                               \
        OK(tutti_mpi_allreduce(&x, &y, 1, type, TUTTI_BXOR, W));         \
        CHECK(y == (T)(((size + 1) / 2 % 2) | (size / 2 % 2) << 1));     \
    } while (0)
#define PLACE(T, type)                                                                 \
    do {                                                                               \
        struct { union { T v; int64_t pad; } u; int64_t at; } x = {{0}, rank}, y;      \
        x.u.v = (T)(rank % 2 ? 4 : 9);                                                 \
        OK(tutti_mpi_allreduce(&x, &y, 1, type, TUTTI_MAXLOC, W));                     \
        CHECK(y.u.v == (T)9 && y.at == 0);                                             \
        OK(tutti_mpi_allreduce(&x, &y, 1, type, TUTTI_MINLOC, W));                     \
        CHECK(y.u.v == (T)(size > 1 ? 4 : 9) && y.at == (size > 1));                   \
        FAILS(tutti_mpi_allreduce(&x, &y, 1, type, TUTTI_SUM, W), TUTTI_ERR_OP);       \
    } while (0)

static void types(void) {
    INTEGER(int8_t, TUTTI_INT8);
    INTEGER(int16_t, TUTTI_INT16);
    INTEGER(int32_t, TUTTI_INT32);
    INTEGER(int64_t, TUTTI_INT64);
    INTEGER(uint8_t, TUTTI_UINT8);
    INTEGER(uint16_t, TUTTI_UINT16);
    INTEGER(uint32_t, TUTTI_UINT32);
    INTEGER(uint64_t, TUTTI_UINT64);
    TYPE(float, TUTTI_FLOAT32, 1);
    TYPE(double, TUTTI_FLOAT64, 1);
    TYPE(float complex, TUTTI_COMPLEX64, 0);
    TYPE(double complex, TUTTI_COMPLEX128, 0);
    PLACE(int32_t, TUTTI_LOC_INT32);
    PLACE(int64_t, TUTTI_LOC_INT64);
    PLACE(float, TUTTI_LOC_FLOAT32);
    PLACE(double, TUTTI_LOC_FLOAT64);
    bool x = rank == 0, y = false;
    OK(tutti_mpi_allreduce(&x, &y, 1, TUTTI_BOOL, TUTTI_LOR, W));
    CHECK(y);
    OK(tutti_mpi_allreduce(&x, &y, 1, TUTTI_BOOL, TUTTI_LAND, W));
    CHECK(y == (size == 1));
    OK(tutti_mpi_allreduce(&x, &y, 1, TUTTI_BOOL, TUTTI_LXOR, W));
    CHECK(y);
}

/* a op b = 2a + b is neither commutative nor, strictly, associative: but a op b = a*10^digits(b) + b
 * is associative, and shows the order. Here: pairs (value, scale). */
static void append(const void *in, void *inout, int64_t count, tutti_type type, void *context) {
    const double complex *a = in;
    double complex *b = inout;
    (void)type;
    ++*(int *)context;
    for (int64_t i = 0; i < count; i++) b[i] = creal(a[i]) * cimag(b[i]) + creal(b[i]) + cimag(a[i]) * cimag(b[i]) * I;
}
static void operations(void) {
    int calls = 0;
    tutti_op op, old;
    OK(tutti_mpi_op_create(append, 0, &calls, &op));
    for (int n = 1; n <= 40000; n *= 200) {
        double complex *x = malloc((size_t)n * sizeof *x), *y = malloc((size_t)n * sizeof *y), want = 0;
        for (int r = 0; r < size; r++) want = creal(want) * 10 + r + 1;
        for (int i = 0; i < n; i++) x[i] = rank + 1 + 10 * I;
        OK(tutti_mpi_allreduce(x, y, n, TUTTI_COMPLEX128, op, W));
        for (int i = 0; i < n; i++) CHECK(creal(y[i]) == creal(want));
        OK(tutti_mpi_reduce(x, y, n, TUTTI_COMPLEX128, op, 0, W));
        CHECK(rank != 0 || creal(y[n - 1]) == creal(want));
        OK(tutti_mpi_scan(x, y, n, TUTTI_COMPLEX128, op, W));
        want = 0;
        for (int r = 0; r <= rank; r++) want = creal(want) * 10 + r + 1;
        CHECK(creal(y[0]) == creal(want) && creal(y[n - 1]) == creal(want));
        free(x), free(y);
    }
    CHECK(size == 1 || calls > 0);
    old = op;
    OK(tutti_mpi_op_free(&op));
    CHECK(op == TUTTI_OP_NULL);
    FAILS(tutti_mpi_op_free(&old), TUTTI_ERR_OP);
}

static void communicators(void) {
    tutti_comm c, self = TUTTI_COMM_SELF, shared, made;
    tutti_group g, h, u;
    int r, n, like, ranks[64], out[64];
    int64_t highest;
    OK(tutti_mpi_comm_rank(self, &r));
    OK(tutti_mpi_comm_size(self, &n));
    CHECK(r == 0 && n == 1);
    OK(tutti_mpi_allreduce(&rank, &r, 1, TUTTI_INT32, TUTTI_SUM, self));
    CHECK(r == rank);
    OK(tutti_mpi_comm_split(W, rank % 2, -rank, &c));
    OK(tutti_mpi_comm_rank(c, &r));
    OK(tutti_mpi_comm_size(c, &n));
    int of_mine = rank % 2 ? size / 2 : (size + 1) / 2;
    CHECK(n == of_mine && r == of_mine - 1 - rank / 2);
    OK(tutti_mpi_allreduce(&rank, &r, 1, TUTTI_INT32, TUTTI_MAX, c));
    CHECK(r == 2 * (of_mine - 1) + rank % 2);
    OK(tutti_mpi_comm_free(&c));
    OK(tutti_mpi_comm_split(W, rank == 0 ? TUTTI_UNDEFINED : 1, 0, &c));
    CHECK((c == TUTTI_COMM_NULL) == (rank == 0));
    if (c != TUTTI_COMM_NULL) OK(tutti_mpi_comm_free(&c));
    FAILS(tutti_mpi_comm_split(W, -2, 0, &c), TUTTI_ERR_ARG);
    OK(tutti_mpi_comm_split_shared(W, 0, &shared));
    OK(tutti_mpi_comm_compare(W, shared, &like));
    CHECK(like == 1);
    OK(tutti_mpi_comm_compare(W, W, &like));
    CHECK(like == 0);
    OK(tutti_mpi_comm_compare(W, self, &like));
    CHECK(like == (size == 1 ? 1 : 3));
    OK(tutti_mpi_comm_free(&shared));
    OK(tutti_mpi_tag_ub(W, &highest));
    CHECK(highest >= 32767);
    OK(tutti_mpi_comm_group(W, &g));
    for (int i = 0; i < size; i++) ranks[i] = size - 1 - i;
    OK(tutti_mpi_group_incl(g, size, ranks, &h));
    OK(tutti_mpi_group_rank(h, &r));
    CHECK(r == size - 1 - rank);
    OK(tutti_mpi_group_translate(g, size, ranks, h, out));
    for (int i = 0; i < size; i++) CHECK(out[i] == i);
    OK(tutti_mpi_group_compare(g, h, &like));
    CHECK(like == (size == 1 ? 0 : 2));
    OK(tutti_mpi_comm_create(W, h, &made));
    OK(tutti_mpi_comm_rank(made, &r));
    CHECK(r == size - 1 - rank);
    OK(tutti_mpi_comm_free(&made));
    OK(tutti_mpi_group_free(&h));
    OK(tutti_mpi_group_excl(g, 1, (int[]){0}, &h));
    OK(tutti_mpi_group_size(h, &n));
    OK(tutti_mpi_group_rank(h, &r));
    CHECK(n == size - 1 && r == (rank ? rank - 1 : TUTTI_UNDEFINED) && (h == TUTTI_GROUP_EMPTY) == (size == 1));
    OK(tutti_mpi_group_difference(g, h, &u));
    OK(tutti_mpi_group_size(u, &n));
    CHECK(n == 1);
    OK(tutti_mpi_group_free(&u));
    OK(tutti_mpi_group_union(h, g, &u));
    OK(tutti_mpi_group_size(u, &n));
    CHECK(n == size);
    OK(tutti_mpi_group_free(&u));
    OK(tutti_mpi_group_intersection(g, h, &u));
    OK(tutti_mpi_group_compare(u, h, &like));
    CHECK(like == 0);
    OK(tutti_mpi_comm_create(W, h, &made));
    CHECK((made == TUTTI_COMM_NULL) == (rank == 0));
    if (made != TUTTI_COMM_NULL) OK(tutti_mpi_comm_free(&made));
    OK(tutti_mpi_group_free(&u));
    OK(tutti_mpi_group_free(&h));
    FAILS(tutti_mpi_group_incl(g, 1, (int[]){size}, &h), TUTTI_ERR_RANK);
    OK(tutti_mpi_group_free(&g));
    FAILS(tutti_mpi_group_size(g, &n), TUTTI_ERR_GROUP);
    for (int i = 0; i < 200; i++) { /* handles are used again, old ones found out */
        OK(tutti_mpi_comm_dup(W, &c));
        tutti_comm was = c;
        OK(tutti_mpi_bcast(&i, 1, TUTTI_INT32, 0, c));
        if (size > 1) OK(tutti_mpi_sendrecv(&i, 1, TUTTI_INT32, (rank + 1) % size, 0, &n, 1, TUTTI_INT32, (rank + size - 1) % size, 0, c, NULL));
        OK(tutti_mpi_comm_free(&c));
        FAILS(tutti_mpi_comm_rank(was, &r), TUTTI_ERR_COMM);
    }
}

static void grids(void) {
    int dims[2] = {0, 0}, wraps[2] = {1, 0}, d[2], p[2], x[2], n, from, to, r;
    tutti_comm grid, line;
    OK(tutti_mpi_dims_create(12, 2, dims));
    CHECK(dims[0] == 4 && dims[1] == 3);
    dims[0] = 5;
    FAILS(tutti_mpi_dims_create(12, 2, dims), TUTTI_ERR_DIMS);
    dims[0] = size, dims[1] = 1;
    OK(tutti_mpi_cart_create(W, 2, dims, wraps, &grid));
    OK(tutti_mpi_cart_dim(grid, &n));
    OK(tutti_mpi_cart_get(grid, 2, d, p, x));
    CHECK(n == 2 && d[0] == size && d[1] == 1 && p[0] == 1 && p[1] == 0 && x[0] == rank && x[1] == 0);
    FAILS(tutti_mpi_cart_get(grid, 1, d, p, x), TUTTI_ERR_DIMS);
    OK(tutti_mpi_cart_coords(grid, size - 1, 2, x));
    CHECK(x[0] == size - 1 && x[1] == 0);
    x[0] = -1;
    OK(tutti_mpi_cart_rank(grid, x, &r));
    CHECK(r == size - 1);
    OK(tutti_mpi_cart_shift(grid, 0, 1, &from, &to));
    CHECK(from == (rank + size - 1) % size && to == (rank + 1) % size);
    OK(tutti_mpi_cart_shift(grid, 1, 1, &from, &to));
    CHECK(from == TUTTI_PROC_NULL && to == TUTTI_PROC_NULL);
    OK(tutti_mpi_cart_sub(grid, (int[]){0, 1}, &line));
    OK(tutti_mpi_comm_size(line, &n));
    CHECK(n == 1);
    OK(tutti_mpi_comm_free(&line));
    OK(tutti_mpi_comm_free(&grid));
    dims[0] = size + 1;
    FAILS(tutti_mpi_cart_create(W, 2, dims, NULL, &grid), TUTTI_ERR_DIMS);
}

static void windows(void) {
    tutti_win win;
    int64_t *mine, *theirs, bytes;
    void *base;
    OK(tutti_mpi_win_allocate_shared(8 * (rank + 1), W, &win, &base));
    mine = base;
    for (int i = 0; i <= rank; i++) {
        CHECK(mine[i] == 0);
        mine[i] = 10 * rank + i;
    }
    OK(tutti_mpi_win_sync(win));
    for (int r = 0; r < size; r++) {
        OK(tutti_mpi_win_query(win, r, &bytes, &base));
        theirs = base;
        CHECK(bytes == 8 * (r + 1) && theirs[r] == 10 * r + r);
    }
    FAILS(tutti_mpi_win_query(win, size, &bytes, &base), TUTTI_ERR_RANK);
    tutti_win old = win;
    OK(tutti_mpi_win_free(&win));
    FAILS(tutti_mpi_win_sync(old), TUTTI_ERR_WIN);
}

/* Several threads at once, each with a communicator of its own and messages of all length classes,
 * while the main thread is in collective calls: C and Go share the rings. */
enum { THREADS = 3, ROUNDS = 300 };
typedef struct {
    tutti_comm comm;
    int seed, wrong;
} job;
static void *exchange(void *context) {
    job *j = context;
    static const int64_t lengths[] = {8, 0, 30, 8, 100, 4000, 8, 8192, 12000, 8, 8, 40000};
    unsigned char *out = malloc(40000), *in = malloc(40000);
    int next = (rank + 1) % size, prev = (rank + size - 1) % size;
    for (int i = 0; i < ROUNDS; i++) {
        int64_t n = lengths[(i + j->seed) % 12];
        tutti_status st;
        tutti_request r;
        fill(out, n, rank + i);
        if (i % 3 == 0) { /* in order of ranks, so that short ones may block */
            j->wrong += tutti_mpi_isend(out, n, TUTTI_BYTE, next, i, j->comm, &r) != TUTTI_SUCCESS;
            j->wrong += tutti_mpi_recv(in, n, TUTTI_BYTE, i % 2 ? prev : TUTTI_ANY_SOURCE, i, j->comm, &st) != TUTTI_SUCCESS;
            j->wrong += tutti_mpi_wait(&r, NULL) != TUTTI_SUCCESS;
        } else {
            j->wrong += tutti_mpi_sendrecv(out, n, TUTTI_BYTE, next, i, in, n, TUTTI_BYTE, prev, i, j->comm, &st) != TUTTI_SUCCESS;
        }
        j->wrong += st.bytes != n || st.source != prev || !filled(in, n, prev + i);
    }
    free(out), free(in);
    return NULL;
}
static void threads(void) {
    pthread_t t[THREADS];
    job jobs[THREADS];
    for (int k = 0; k < THREADS; k++) {
        jobs[k] = (job){.seed = k};
        OK(tutti_mpi_comm_dup(W, &jobs[k].comm));
    }
    for (int k = 0; k < THREADS; k++) CHECK(pthread_create(t + k, NULL, exchange, jobs + k) == 0);
    for (int i = 0; i < ROUNDS / 10; i++) {
        int sum = 0;
        OK(tutti_mpi_allreduce(&i, &sum, 1, TUTTI_INT32, TUTTI_SUM, W));
        CHECK(sum == size * i);
    }
    for (int k = 0; k < THREADS; k++) {
        CHECK(pthread_join(t[k], NULL) == 0);
        CHECK(jobs[k].wrong == 0);
        OK(tutti_mpi_comm_free(&jobs[k].comm));
    }
}

/* A world joined by hand, of this process alone, beside the first one; twice, one after the other. */
static void worlds(void) {
    for (int turn = 0; turn < 2; turn++) {
        tutti_comm c, other, dup;
        int fd, r, n, x = 3, y = 0;
        char text[4096];
        OK(tutti_mpi_new_segment(&fd));
        OK(tutti_mpi_join(NULL, fd, 0, 2, &c));
        FAILS(tutti_mpi_join(NULL, fd, 0, 2, &other), TUTTI_ERR_EXISTS);
        OK(tutti_mpi_join(NULL, fd, 1, 2, &other));
        close(fd);
        OK(tutti_mpi_comm_rank(other, &r));
        OK(tutti_mpi_comm_size(c, &n));
        CHECK(r == 1 && n == 2);
        for (int i = 0; i < 100; i++) {
            OK(tutti_mpi_send(&x, 1, TUTTI_INT32, 1, i, c));
            OK(tutti_mpi_recv(&y, 1, TUTTI_INT32, 0, i, other, NULL));
            OK(tutti_mpi_send(&y, 1, TUTTI_INT32, 0, i, other));
            OK(tutti_mpi_recv(&x, 1, TUTTI_INT32, 1, i, c, NULL));
            CHECK(x == 3 && y == 3);
        }
        OK(tutti_mpi_waiting(c, text, sizeof text));
        OK(tutti_mpi_comm_split(TUTTI_COMM_SELF, 0, 0, &dup)); /* of another world: it stays */
        OK(tutti_mpi_revoke(c));
        FAILS(tutti_mpi_recv(&y, 1, TUTTI_INT32, 0, 0, other, NULL), TUTTI_ERR_REVOKED);
        FAILS(tutti_mpi_send(&y, 1, TUTTI_INT32, 0, 0, other), TUTTI_ERR_REVOKED);
        CHECK(!strcmp(tutti_error_last()->kind, "revoked"));
        tutti_comm was = c;
        OK(tutti_mpi_leave(&c));
        CHECK(c == TUTTI_COMM_NULL);
        FAILS(tutti_mpi_barrier(was), TUTTI_ERR_COMM);
        OK(tutti_mpi_leave(&other));
        OK(tutti_mpi_barrier(dup));
        OK(tutti_mpi_comm_free(&dup));
    }
    tutti_comm c, lost;
    int fd, y;
    OK(tutti_mpi_new_segment(&fd));
    OK(tutti_mpi_join(NULL, fd, 0, 2, &c));
    OK(tutti_mpi_join(NULL, fd, 1, 2, &lost));
    close(fd);
    OK(tutti_mpi_lost(c, 1));
    FAILS(tutti_mpi_recv(&y, 1, TUTTI_INT32, 1, 0, c, NULL), TUTTI_ERR_REVOKED);
    OK(tutti_mpi_leave(&c));
    tutti_mpi_leave(&lost);
    FAILS(tutti_mpi_join("/nowhere", -1, 0, 1, &c), TUTTI_ERR_NOT_FOUND);
    FAILS(tutti_mpi_join(NULL, -1, 0, 1, &c), TUTTI_ERR_ARG);
}

int main(int argc, char **argv) {
    int flag = 1, all[2], sums[2];
    char name[256];
    CHECK(tutti_mpi_initialized(&flag) == 0 && flag == 0);
    FAILS(tutti_mpi_barrier(W), TUTTI_ERR_CLOSED);
    OK(tutti_mpi_init(&argc, &argv));
    OK(tutti_mpi_init(NULL, NULL));
    OK(tutti_mpi_initialized(&flag));
    CHECK(flag == 1);
    OK(tutti_mpi_comm_rank(W, &rank));
    OK(tutti_mpi_comm_size(W, &size));
    CHECK(size >= 1 && rank >= 0 && rank < size);
    CHECK(tutti_mpi_wtick() > 0 && tutti_mpi_wtick() < 1e-3 && tutti_mpi_wtime() > 0);
    OK(tutti_mpi_processor_name(name, sizeof name));
    CHECK(name[0] != 0);
    errors();
    handlers();
    messages();
    order();
    tries();
    requests();
    for (async = 0; async < 2; async++)
        for (int n = 1; n <= 30000; n = n * 30 + 1) collectives(n);
    types();
    operations();
    communicators();
    grids();
    windows();
    threads();
    worlds();
    all[0] = checks, all[1] = wrong;
    if (tutti_mpi_reduce(all, sums, 2, TUTTI_INT32, TUTTI_SUM, 0, W) != TUTTI_SUCCESS) wrong++;
    if (rank == 0 && sums[1] == 0) printf("conform: %d ranks, %d checks\n", size, sums[0]);
    if (tutti_mpi_finalize() != TUTTI_SUCCESS) wrong++;
    if (tutti_mpi_finalized(&flag) != TUTTI_SUCCESS || !flag) wrong++;
    if (tutti_mpi_barrier(W) != TUTTI_ERR_CLOSED || tutti_mpi_init(NULL, NULL) != TUTTI_ERR_CLOSED) wrong++;
    return wrong != 0;
}
