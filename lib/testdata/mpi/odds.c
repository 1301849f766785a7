/* What courses come to later: a struct as a type, an operation of one's own, pairs for the place of a
 * maximum, splitting, probing for a length, packing rows of unequal length, errors that return. */
#include <mpi.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    char kind;
    double place[3];
    int charge;
} particle;

typedef struct {
    double re, im, scale;
} triple;

/* Not commutative: later ranks see what the earlier ones have made. */
static void follow(void *in, void *inout, int *n, MPI_Datatype *type) {
    triple *a = in, *b = inout;
    (void)type;
    for (int i = 0; i < *n; i++) {
        b[i].re = a[i].re * b[i].scale + b[i].re;
        b[i].im += a[i].im;
        b[i].scale *= a[i].scale;
    }
}

int main(int argc, char **argv) {
    int rank, size, provided, flag, *tag_ub;
    MPI_Init_thread(&argc, &argv, MPI_THREAD_SINGLE, &provided);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &size);

    particle mine = {(char)('a' + rank), {rank, 2.0 * rank, 0.5}, -rank}, *all = calloc((size_t)size, sizeof *all);
    MPI_Datatype type, part, triples;
    int lengths[3] = {1, 3, 1}, bytes;
    MPI_Aint at[3] = {offsetof(particle, kind), offsetof(particle, place), offsetof(particle, charge)}, lower, extent;
    MPI_Datatype types[3] = {MPI_CHAR, MPI_DOUBLE, MPI_INT};
    MPI_Type_create_struct(3, lengths, at, types, &part);
    MPI_Type_create_resized(part, 0, sizeof(particle), &type);
    MPI_Type_commit(&type);
    MPI_Type_size(type, &bytes);
    MPI_Type_get_extent(type, &lower, &extent);
    MPI_Gather(&mine, 1, type, all, 1, type, 0, MPI_COMM_WORLD);
    if (rank == 0) {
        int charge = 0;
        for (int r = 0; r < size; r++) charge += all[r].charge * (all[r].kind == 'a' + r) * (all[r].place[1] == 2 * r);
        printf("particles of %d bytes every %d: charge %d\n", bytes, (int)extent, charge);
    }
    MPI_Allgather(&mine, 1, type, all, 1, type, MPI_COMM_WORLD);

    struct {
        double value;
        int rank;
    } in = {(rank * 7) % 5, rank}, out;
    MPI_Allreduce(&in, &out, 1, MPI_DOUBLE_INT, MPI_MAXLOC, MPI_COMM_WORLD);
    int pair[2] = {-rank % 3, rank}, low[2];
    MPI_Allreduce(pair, low, 1, MPI_2INT, MPI_MINLOC, MPI_COMM_WORLD);
    if (rank == 0) printf("the maximum %g is on rank %d, the minimum %d on rank %d\n", out.value, out.rank, low[0], low[1]);

    MPI_Op op;
    triple x[2] = {{rank + 1, rank, 10}, {rank + 1, 1, 10}}, y[2];
    MPI_Type_contiguous(3, MPI_DOUBLE, &triples);
    MPI_Type_commit(&triples);
    MPI_Op_create(follow, 0, &op);
    MPI_Allreduce(x, y, 2, triples, op, MPI_COMM_WORLD);
    if (rank == 0) printf("ranks in their order: %.0f, %.0f\n", y[0].re, y[1].im);
    MPI_Scan(x, y, 2, triples, op, MPI_COMM_WORLD);
    int scanned = y[1].im == rank + 1, all_scanned;
    MPI_Reduce(&scanned, &all_scanned, 1, MPI_INT, MPI_LAND, 0, MPI_COMM_WORLD);
    MPI_Op_free(&op);

    MPI_Comm half;
    int half_rank, half_size;
    MPI_Comm_split(MPI_COMM_WORLD, rank % 2, size - rank, &half);
    MPI_Comm_rank(half, &half_rank);
    MPI_Comm_size(half, &half_size);
    MPI_Group world, odd;
    MPI_Comm_group(MPI_COMM_WORLD, &world);
    MPI_Group_incl(world, 1, &rank, &odd);
    int zero = 0, who;
    MPI_Group_translate_ranks(odd, 1, &zero, world, &who);
    if (rank == 0) printf("of %d, rank 0 is %d in its half; translated %d; scan %d\n", half_size, half_rank, who, all_scanned);
    MPI_Group_free(&odd), MPI_Group_free(&world), MPI_Comm_free(&half);

    if (size > 1 && rank == size - 1) MPI_Send("a line of unknown length", 25, MPI_CHAR, 0, 5, MPI_COMM_WORLD);
    if (size > 1 && rank == 0) {
        MPI_Status status;
        int n;
        MPI_Probe(MPI_ANY_SOURCE, 5, MPI_COMM_WORLD, &status);
        MPI_Get_count(&status, MPI_CHAR, &n);
        char *line = malloc((size_t)n);
        MPI_Recv(line, n, MPI_CHAR, status.MPI_SOURCE, 5, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
        printf("%d bytes: %s\n", n, line);
        free(line);
    }
    MPI_Comm_get_attr(MPI_COMM_WORLD, MPI_TAG_UB, &tag_ub, &flag);
    MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
    int code = MPI_Send(&rank, 1, MPI_INT, size + 3, 0, MPI_COMM_WORLD), class;
    char text[MPI_MAX_ERROR_STRING];
    MPI_Error_class(code, &class);
    MPI_Error_string(code, text, &bytes);
    if (rank == 0) printf("tags to 32767 at least: %d; a wrong rank returns its class: %d\n", flag && *tag_ub >= 32767, class == MPI_ERR_RANK && bytes > 0);
    MPI_Type_free(&type), MPI_Type_free(&part), MPI_Type_free(&triples);
    free(all);
    MPI_Finalize();
    return 0;
}
