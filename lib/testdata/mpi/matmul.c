/* C = A B: rows of A scattered, B broadcast, rows of C gathered; the rows need not divide evenly.
 * Rank 0 compares with its own product. */
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>

enum { N = 61 };

static void multiply(const double *a, const double *b, double *c, int rows) {
    for (int i = 0; i < rows; i++)
        for (int j = 0; j < N; j++) {
            c[i * N + j] = 0;
            for (int k = 0; k < N; k++) c[i * N + j] += a[i * N + k] * b[k * N + j];
        }
}

int main(int argc, char **argv) {
    int rank, size;
    static double a[N * N], b[N * N], c[N * N], mine[N * N], part[N * N], serial[N * N];
    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &size);
    int *counts = malloc(sizeof *counts * size), *displs = malloc(sizeof *displs * size);
    for (int r = 0, at = 0; r < size; r++) {
        counts[r] = (N / size + (r < N % size)) * N, displs[r] = at;
        at += counts[r];
    }
    if (rank == 0)
        for (int i = 0; i < N * N; i++) a[i] = i % 7 - 3, b[i] = i % 11 - 5;
    MPI_Scatterv(a, counts, displs, MPI_DOUBLE, mine, counts[rank], MPI_DOUBLE, 0, MPI_COMM_WORLD);
    MPI_Bcast(b, N * N, MPI_DOUBLE, 0, MPI_COMM_WORLD);
    multiply(mine, b, part, counts[rank] / N);
    MPI_Gatherv(part, counts[rank], MPI_DOUBLE, c, counts, displs, MPI_DOUBLE, 0, MPI_COMM_WORLD);
    if (rank == 0) {
        int wrong = 0;
        double trace = 0;
        multiply(a, b, serial, N);
        for (int i = 0; i < N * N; i++) wrong += c[i] != serial[i];
        for (int i = 0; i < N; i++) trace += c[i * N + i];
        printf("trace %.1f, %d elements differ from the serial product\n", trace, wrong);
    }
    free(counts), free(displs);
    MPI_Finalize();
    return 0;
}
