/* Heat on a plate by Jacobi's method: a Cartesian grid of ranks, halos of rows and of columns (a
 * vector type), the largest change by allreduce, and the plate gathered by subarrays. */
#include <math.h>
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>

enum { N = 48, STEPS = 200 };
#define AT(a, i, j) (a)[(i) * (cols + 2) + (j)]

int main(int argc, char **argv) {
    int rank, size, dims[2] = {0, 0}, periods[2] = {0, 0}, coords[2], up, down, left, right;
    MPI_Comm grid;
    MPI_Init(&argc, &argv);
    MPI_Comm_size(MPI_COMM_WORLD, &size);
    MPI_Dims_create(size, 2, dims);
    MPI_Cart_create(MPI_COMM_WORLD, 2, dims, periods, 1, &grid);
    MPI_Comm_rank(grid, &rank);
    MPI_Cart_coords(grid, rank, 2, coords);
    MPI_Cart_shift(grid, 0, 1, &up, &down);
    MPI_Cart_shift(grid, 1, 1, &left, &right);
    int rows = N / dims[0], cols = N / dims[1];
    double *old = calloc((size_t)(rows + 2) * (cols + 2), sizeof *old), *new = calloc((size_t)(rows + 2) * (cols + 2), sizeof *new);
    if (coords[0] == 0)
        for (int j = 0; j < cols + 2; j++) AT(old, 0, j) = AT(new, 0, j) = 100;
    MPI_Datatype column;
    MPI_Type_vector(rows, 1, cols + 2, MPI_DOUBLE, &column);
    MPI_Type_commit(&column);
    double change = 0, most = 0;
    for (int step = 0; step < STEPS; step++) {
        MPI_Sendrecv(&AT(old, 1, 1), cols, MPI_DOUBLE, up, 0, &AT(old, rows + 1, 1), cols, MPI_DOUBLE, down, 0, grid, MPI_STATUS_IGNORE);
        MPI_Sendrecv(&AT(old, rows, 1), cols, MPI_DOUBLE, down, 1, &AT(old, 0, 1), cols, MPI_DOUBLE, up, 1, grid, MPI_STATUS_IGNORE);
        MPI_Request q[4];
        MPI_Irecv(&AT(old, 1, 0), 1, column, left, 2, grid, &q[0]);
        MPI_Irecv(&AT(old, 1, cols + 1), 1, column, right, 3, grid, &q[1]);
        MPI_Isend(&AT(old, 1, cols), 1, column, right, 2, grid, &q[2]);
        MPI_Isend(&AT(old, 1, 1), 1, column, left, 3, grid, &q[3]);
        MPI_Waitall(4, q, MPI_STATUSES_IGNORE);
        change = 0;
        for (int i = 1; i <= rows; i++)
            for (int j = 1; j <= cols; j++) {
                AT(new, i, j) = 0.25 * (AT(old, i - 1, j) + AT(old, i + 1, j) + AT(old, i, j - 1) + AT(old, i, j + 1));
                change = fmax(change, fabs(AT(new, i, j) - AT(old, i, j)));
            }
        double *t = old;
        old = new, new = t;
    }
    MPI_Allreduce(&change, &most, 1, MPI_DOUBLE, MPI_MAX, grid);
    MPI_Datatype block, inner, placed;
    int whole[2] = {N, N}, part[2] = {rows, cols}, zero[2] = {0, 0}, mine[2] = {rows + 2, cols + 2}, one[2] = {1, 1};
    MPI_Type_create_subarray(2, mine, part, one, MPI_ORDER_C, MPI_DOUBLE, &inner);
    MPI_Type_create_subarray(2, whole, part, zero, MPI_ORDER_C, MPI_DOUBLE, &block);
    MPI_Type_create_resized(block, 0, sizeof(double), &placed);
    MPI_Type_commit(&inner);
    MPI_Type_commit(&placed);
    double *plate = malloc(sizeof *plate * N * N);
    int *counts = malloc(sizeof *counts * size), *displs = malloc(sizeof *displs * size);
    for (int r = 0; r < size; r++) counts[r] = 1, displs[r] = r / dims[1] * rows * N + r % dims[1] * cols;
    MPI_Gatherv(old, 1, inner, plate, counts, displs, placed, 0, grid);
    if (rank == 0) {
        double sum = 0;
        for (int i = 0; i < N * N; i++) sum += plate[i];
        printf("mean %.9f, in the middle %.9f, at the rim %.9f, last change %.9f\n", sum / (N * N), plate[N / 2 * N + N / 2],
               plate[N - 1], most);
    }
    MPI_Type_free(&column), MPI_Type_free(&block), MPI_Type_free(&inner), MPI_Type_free(&placed);
    free(old), free(new), free(plate), free(counts), free(displs);
    MPI_Comm_free(&grid);
    MPI_Finalize();
    return 0;
}
