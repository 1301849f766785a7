/* driver.c: what driver.py does, in C, for where there is no Python with numpy. */
#include <math.h>
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CELLS = 60, STEPS = 300, SUBSTEPS = 10 };
static const double DT = 0.05, SPREAD = 0.25;

static void react(double *v, double *w) {
    for (int i = 0; i < CELLS; i++)
        for (int s = 0; s < SUBSTEPS; s++) {
            double dv = v[i] - v[i] * v[i] * v[i] / 3.0 - w[i], dw = 0.08 * (v[i] + 0.7 - 0.8 * w[i]);
            v[i] += DT * dv, w[i] += DT * dw;
        }
}
static void diffuse(double *v) {
    double old[CELLS];
    memcpy(old, v, sizeof old);
    for (int i = 0; i < CELLS; i++)
        v[i] = old[i] + SPREAD * (old[i > 0 ? i - 1 : 0] - 2.0 * old[i] + old[i < CELLS - 1 ? i + 1 : i]);
}
static void cable(double *v, double *w) {
    for (int i = 0; i < CELLS; i++) v[i] = i < 5 ? 1.5 : -1.2, w[i] = -0.625;
}

int main(int argc, char **argv) {
    static const char *names[] = {"", "C", "Fortran", "Go", "Python"};
    double v[CELLS], w[CELLS], sv[CELLS], sw[CELLS], off = 0;
    int size, language = 1, arrived = 0;
    MPI_Init(&argc, &argv);
    MPI_Comm_size(MPI_COMM_WORLD, &size);
    if (size < 2) MPI_Abort(MPI_COMM_WORLD, 2);
    int *counts = calloc(size, sizeof *counts), *displs = calloc(size, sizeof *displs), *spoken = calloc(size, sizeof *spoken);
    for (int k = 0; k < size - 1; k++) {
        displs[k + 1] = CELLS * k / (size - 1);
        counts[k + 1] = CELLS * (k + 1) / (size - 1) - displs[k + 1];
    }
    MPI_Gather(&language, 1, MPI_INT, spoken, 1, MPI_INT, 0, MPI_COMM_WORLD);
    cable(v, w), cable(sv, sw);
    for (int step = 1; step <= STEPS; step++) {
        int order[3] = {1, CELLS, SUBSTEPS};
        double dt = DT, none;
        MPI_Bcast(order, 3, MPI_INT, 0, MPI_COMM_WORLD);
        MPI_Bcast(&dt, 1, MPI_DOUBLE, 0, MPI_COMM_WORLD);
        MPI_Scatterv(v, counts, displs, MPI_DOUBLE, &none, 0, MPI_DOUBLE, 0, MPI_COMM_WORLD);
        MPI_Scatterv(w, counts, displs, MPI_DOUBLE, &none, 0, MPI_DOUBLE, 0, MPI_COMM_WORLD);
        MPI_Gatherv(&none, 0, MPI_DOUBLE, v, counts, displs, MPI_DOUBLE, 0, MPI_COMM_WORLD);
        MPI_Gatherv(&none, 0, MPI_DOUBLE, w, counts, displs, MPI_DOUBLE, 0, MPI_COMM_WORLD);
        diffuse(v);
        react(sv, sw), diffuse(sv);
        if (!arrived && v[CELLS - 1] > 1.0) arrived = step;
    }
    int end[3] = {0, 0, 0};
    MPI_Bcast(end, 3, MPI_INT, 0, MPI_COMM_WORLD);
    MPI_Finalize();
    for (int i = 0; i < CELLS; i++) off = fmax(off, fmax(fabs(v[i] - sv[i]), fabs(w[i] - sw[i])));
    printf("languages:");
    for (int r = 0; r < size; r++) printf(" %s", names[spoken[r]]);
    printf("\nthe wave reaches the last of %d cells in step %d, off by %.1e\n", CELLS, arrived, off);
    free(counts), free(displs), free(spoken);
    return !(off < 1e-12 && arrived);
}
