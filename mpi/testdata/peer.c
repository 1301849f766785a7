// Rank 1 of a job whose rank 0 is a test of package mpi, body "mixed": a plain MPI program.
#include <mpi.h>
#include <stdio.h>

static int wrong(const char *what, double got) {
	fprintf(stderr, "peer: %s: %g\n", what, got);
	return 1;
}

int main(int argc, char **argv) {
	double x[3] = {0}, sum = 0, all[2];
	int n = 20, most = 0, parts[3] = {0}, counts[2] = {1, 2}, own[2] = {8, 9};
	MPI_Status st;
	MPI_Comm half;
	MPI_Init(&argc, &argv);
	MPI_Recv(x, 3, MPI_DOUBLE, 0, 7, MPI_COMM_WORLD, &st);
	if (x[2] != 2.5)
		return wrong("received", x[2]);
	x[2] += 1;
	MPI_Send(x, 3, MPI_DOUBLE, 0, 8, MPI_COMM_WORLD);
	MPI_Bcast(x, 3, MPI_DOUBLE, 0, MPI_COMM_WORLD);
	if (x[0] != 10)
		return wrong("broadcast", x[0]);
	MPI_Allreduce(&x[0], &sum, 1, MPI_DOUBLE, MPI_SUM, MPI_COMM_WORLD);
	if (sum != 15)
		return wrong("sum", sum);
	MPI_Reduce(&n, &most, 1, MPI_INT, MPI_MAX, 1, MPI_COMM_WORLD);
	if (most != 30)
		return wrong("maximum", most);
	MPI_Allgather(&sum, 1, MPI_DOUBLE, all, 1, MPI_DOUBLE, MPI_COMM_WORLD);
	if (all[0] != -1)
		return wrong("gathered", all[0]);
	MPI_Gatherv(own, 2, MPI_INT, parts, counts, 0, MPI_INT, 0, MPI_COMM_WORLD);
	MPI_Comm_split(MPI_COMM_WORLD, 0, -1, &half);
	MPI_Comm_rank(half, &n);
	if (n != 0)
		return wrong("rank after the split", n);
	MPI_Barrier(half);
	MPI_Finalize();
	return 0;
}
