/* The area under 4/(1+x*x), as in every first lesson of MPI. */
#include <math.h>
#include <mpi.h>
#include <stdio.h>

int main(int argc, char *argv[]) {
    int n = 100000, rank, size, len;
    double h, sum = 0, mypi, pi;
    char name[MPI_MAX_PROCESSOR_NAME];
    MPI_Init(&argc, &argv);
    MPI_Comm_size(MPI_COMM_WORLD, &size);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Get_processor_name(name, &len);
    MPI_Bcast(&n, 1, MPI_INT, 0, MPI_COMM_WORLD);
    h = 1.0 / n;
    for (int i = rank + 1; i <= n; i += size) {
        double x = h * (i - 0.5);
        sum += 4.0 / (1.0 + x * x);
    }
    mypi = h * sum;
    MPI_Reduce(&mypi, &pi, 1, MPI_DOUBLE, MPI_SUM, 0, MPI_COMM_WORLD);
    if (rank == 0) printf("pi is about %.10f, wrong by less than 1e-9: %d\n", pi, fabs(pi - 3.141592653589793) < 1e-9);
    MPI_Finalize();
    return len == 0;
}
