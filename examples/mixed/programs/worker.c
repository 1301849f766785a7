/* worker.c: a rank that lets its share of the cells react, in C. See driver.py. */
#include <mpi.h>
#include <stdlib.h>

int main(int argc, char **argv) {
    int rank, size, language = 1;
    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &size);
    MPI_Gather(&language, 1, MPI_INT, NULL, 0, MPI_INT, 0, MPI_COMM_WORLD);
    for (;;) {
        int order[3]; /* whether there is a step, how many cells in all, how many substeps */
        double dt;
        MPI_Bcast(order, 3, MPI_INT, 0, MPI_COMM_WORLD);
        if (!order[0]) break;
        MPI_Bcast(&dt, 1, MPI_DOUBLE, 0, MPI_COMM_WORLD);
        int n = order[1] * rank / (size - 1) - order[1] * (rank - 1) / (size - 1);
        double *v = malloc(sizeof *v * (n + 1)), *w = malloc(sizeof *w * (n + 1));
        MPI_Scatterv(NULL, NULL, NULL, MPI_DOUBLE, v, n, MPI_DOUBLE, 0, MPI_COMM_WORLD);
        MPI_Scatterv(NULL, NULL, NULL, MPI_DOUBLE, w, n, MPI_DOUBLE, 0, MPI_COMM_WORLD);
        for (int i = 0; i < n; i++)
            for (int s = 0; s < order[2]; s++) {
                double dv = v[i] - v[i] * v[i] * v[i] / 3.0 - w[i], dw = 0.08 * (v[i] + 0.7 - 0.8 * w[i]);
                v[i] += dt * dv, w[i] += dt * dw;
            }
        MPI_Gatherv(v, n, MPI_DOUBLE, NULL, NULL, NULL, MPI_DOUBLE, 0, MPI_COMM_WORLD);
        MPI_Gatherv(w, n, MPI_DOUBLE, NULL, NULL, NULL, MPI_DOUBLE, 0, MPI_COMM_WORLD);
        free(v), free(w);
    }
    MPI_Finalize();
    return 0;
}
