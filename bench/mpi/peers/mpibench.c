/* The cases of the Go program one folder up, in C on the MPI library it is compiled with.
 *
 *   mpicc.openmpi -O2 -o mpibench.ompi mpibench.c
 *   mpirun.openmpi -n 2 ./mpibench.ompi [pp|bw|coll|all] [repetitions]
 *
 * It prints lines of operation, ranks, bytes, median, minimum, maximum and unit. MPIBENCH_SCALE
 * multiplies the numbers of iterations.
 */
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int rank, size, reps = 9;

static int cmp(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}
static void report(const char *op, long bytes, double *t, const char *unit) {
    if (rank) return;
    qsort(t, reps, sizeof *t, cmp);
    printf("%s\t%d\t%ld\t%.3f\t%.3f\t%.3f\t%s\n", op, size, bytes,
           t[reps / 2], t[0], t[reps - 1], unit);
    fflush(stdout);
}
static long iters_for(long bytes) {
    const char *e = getenv("MPIBENCH_SCALE");
    double s = e ? atof(e) : 1.0;
    long n;
    if (bytes <= 1024) n = 20000;
    else if (bytes <= 65536) n = 4000;
    else if (bytes <= (1 << 20)) n = 400;
    else n = 40;
    n = (long)(n * s);
    return n < 4 ? 4 : n;
}

static void pingpong(char *sb, char *rb) {
    static const long sizes[] = {0, 8, 1024, 8192, 65536, 1 << 20, 16 << 20};
    double t[64];
    for (unsigned k = 0; k < sizeof sizes / sizeof *sizes; k++) {
        long b = sizes[k], n = iters_for(b);
        for (int r = -1; r < reps; r++) {
            MPI_Barrier(MPI_COMM_WORLD);
            double t0 = MPI_Wtime();
            for (long i = 0; i < n; i++) {
                if (rank == 0) {
                    MPI_Send(sb, b, MPI_BYTE, 1, 7, MPI_COMM_WORLD);
                    MPI_Recv(rb, b, MPI_BYTE, 1, 7, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
                } else if (rank == 1) {
                    MPI_Recv(rb, b, MPI_BYTE, 0, 7, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
                    MPI_Send(sb, b, MPI_BYTE, 0, 7, MPI_COMM_WORLD);
                }
            }
            if (r >= 0) t[r] = (MPI_Wtime() - t0) / n / 2 * 1e6;
        }
        report("pingpong", b, t, "us_oneway");
    }
}

/* windowed one-directional stream, W outstanding, as in the OSU bw test */
static void stream(char *sb, char *rb) {
    static const long sizes[] = {8, 1024, 65536, 1 << 20, 16 << 20};
    enum { W = 64 };
    MPI_Request q[W];
    double t[64];
    for (unsigned k = 0; k < sizeof sizes / sizeof *sizes; k++) {
        long b = sizes[k], n = iters_for(b) / 20;
        if (n < 2) n = 2;
        int w = b >= (16 << 20) ? 8 : W;
        for (int r = -1; r < reps; r++) {
            MPI_Barrier(MPI_COMM_WORLD);
            double t0 = MPI_Wtime();
            for (long i = 0; i < n; i++) {
                if (rank == 0) {
                    for (int j = 0; j < w; j++) MPI_Isend(sb, b, MPI_BYTE, 1, 9, MPI_COMM_WORLD, q + j);
                    MPI_Waitall(w, q, MPI_STATUSES_IGNORE);
                    MPI_Recv(rb, 4, MPI_BYTE, 1, 10, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
                } else if (rank == 1) {
                    for (int j = 0; j < w; j++) MPI_Irecv(rb, b, MPI_BYTE, 0, 9, MPI_COMM_WORLD, q + j);
                    MPI_Waitall(w, q, MPI_STATUSES_IGNORE);
                    MPI_Send(sb, 4, MPI_BYTE, 0, 10, MPI_COMM_WORLD);
                }
            }
            if (r >= 0) t[r] = (double)b * n * w / (MPI_Wtime() - t0) / 1e6;
        }
        report("stream", b, t, "MB/s");
    }
}

static void coll(char *sb, char *rb) {
    double t[64];
    long n;
    n = iters_for(8);
    for (int r = -1; r < reps; r++) {
        MPI_Barrier(MPI_COMM_WORLD);
        double t0 = MPI_Wtime();
        for (long i = 0; i < n; i++) MPI_Barrier(MPI_COMM_WORLD);
        if (r >= 0) t[r] = (MPI_Wtime() - t0) / n * 1e6;
    }
    report("barrier", 0, t, "us");
    static const long ar[] = {8, 1024, 65536, 1 << 20};
    for (int k = 0; k < 4; k++) {
        long b = ar[k];
        n = iters_for(b) / 2;
        for (int r = -1; r < reps; r++) {
            MPI_Barrier(MPI_COMM_WORLD);
            double t0 = MPI_Wtime();
            for (long i = 0; i < n; i++)
                MPI_Allreduce(sb, rb, b / 8, MPI_DOUBLE, MPI_SUM, MPI_COMM_WORLD);
            if (r >= 0) t[r] = (MPI_Wtime() - t0) / n * 1e6;
        }
        report("allreduce_sum_f64", b, t, "us");
    }
    static const long bc[] = {8, 65536, 1 << 20};
    for (int k = 0; k < 3; k++) {
        long b = bc[k];
        n = iters_for(b) / 2;
        for (int r = -1; r < reps; r++) {
            MPI_Barrier(MPI_COMM_WORLD);
            double t0 = MPI_Wtime();
            for (long i = 0; i < n; i++) {
                MPI_Bcast(sb, b, MPI_BYTE, 0, MPI_COMM_WORLD);
                MPI_Barrier(MPI_COMM_WORLD);
            }
            if (r >= 0) t[r] = (MPI_Wtime() - t0) / n * 1e6;
        }
        report("bcast_plus_barrier", b, t, "us");
    }
    /* bytes is the block per peer */
    static const long aa[] = {8, 1024, 65536, 1 << 20};
    for (int k = 0; k < 4; k++) {
        long b = aa[k];
        n = iters_for(b) / 2;
        for (int r = -1; r < reps; r++) {
            MPI_Barrier(MPI_COMM_WORLD);
            double t0 = MPI_Wtime();
            for (long i = 0; i < n; i++)
                MPI_Alltoall(sb, b, MPI_BYTE, rb, b, MPI_BYTE, MPI_COMM_WORLD);
            if (r >= 0) t[r] = (MPI_Wtime() - t0) / n * 1e6;
        }
        report("alltoall", b, t, "us");
    }
}

int main(int argc, char **argv) {
    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &size);
    const char *what = argc > 1 ? argv[1] : "all";
    if (argc > 2) reps = atoi(argv[2]);
    if (reps > 64) reps = 64;
    long cap = 16 << 20;
    char *sb, *rb;
    if (posix_memalign((void **)&sb, 4096, cap) || posix_memalign((void **)&rb, 4096, cap)) return 1;
    for (long i = 0; i < cap / 8; i++) ((double *)sb)[i] = 1.0 + rank;
    memset(rb, 0, cap);
    int all = !strcmp(what, "all");
    if (size >= 2 && (all || !strcmp(what, "pp"))) pingpong(sb, rb);
    if (size >= 2 && (all || !strcmp(what, "bw"))) stream(sb, rb);
    if (all || !strcmp(what, "coll")) coll(sb, rb);
    MPI_Finalize();
    return 0;
}
