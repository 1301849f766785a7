/* faults.c: rank 1 comes to the end that the argument names while the others wait for it. */
#define _GNU_SOURCE
#include <mpi.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tutti.h"

static volatile sig_atomic_t caught;
static void catch(int s) { caught = s; }

/* What a child after fork is told. Its status is 0 if that is right. */
static int in_child(void) {
    int x = 0, bad = 0;
    bad += tutti_mpi_barrier(TUTTI_COMM_WORLD) != TUTTI_ERR_FORKED || !strstr(tutti_error_last()->hint, "spawn");
    bad += tutti_mpi_send(&x, 1, TUTTI_INT32, 0, 0, TUTTI_COMM_WORLD) != TUTTI_ERR_FORKED;
    bad += tutti_mpi_try_recv(&x, 1, TUTTI_INT32, 0, 0, TUTTI_COMM_WORLD, NULL, 1) != TUTTI_ERR_FORKED;
    bad += tutti_mpi_finalize() != TUTTI_ERR_FORKED || tutti_mpi_initialized(&x) != TUTTI_ERR_FORKED;
    return bad;
}

static void own_signals(void) {
    struct sigaction old;
    if (sigaction(SIGINT, NULL, &old) || old.sa_handler != SIG_DFL) exit(9);
    if (sigaction(SIGTERM, NULL, &old) || old.sa_handler != SIG_DFL) exit(10);
    if (sigaction(SIGUSR1, NULL, &old) || old.sa_handler != catch) exit(11);
    signal(SIGINT, catch);
    raise(SIGINT);
    if (caught != SIGINT) exit(12);
    raise(SIGUSR1);
    if (caught != SIGUSR1) exit(13);
}

int main(int argc, char **argv) {
    const char *how = argc > 1 ? argv[1] : "";
    int rank, x = 0, status = 0;
    if (!strcmp(how, "signals")) signal(SIGUSR1, catch); /* before init: it must stay */
    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Barrier(MPI_COMM_WORLD);
    if (rank == 1) {
        if (!strcmp(how, "exit")) exit(3);
        if (!strcmp(how, "return")) return 0; /* without finalize, while others wait */
        if (!strcmp(how, "segfault")) *(volatile int *)(intptr_t)(rank - 1) = 1;
        if (!strcmp(how, "kill")) kill(getpid(), SIGKILL);
        if (!strcmp(how, "abort")) MPI_Abort(MPI_COMM_WORLD, 7);
        if (!strcmp(how, "error")) MPI_Send(&x, 1, MPI_INT, 99, 0, MPI_COMM_WORLD);
        if (!strcmp(how, "truncate")) MPI_Recv(&x, 0, MPI_INT, 0, 5, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
        if (!strcmp(how, "signals")) own_signals();
        if (!strcmp(how, "fork")) {
            pid_t child = fork();
            if (child == 0) _exit(in_child());
            if (waitpid(child, &status, 0) != child || !WIFEXITED(status) || WEXITSTATUS(status)) exit(8);
        }
        MPI_Send(&x, 1, MPI_INT, 0, 1, MPI_COMM_WORLD);
    } else {
        if (rank == 0 && !strcmp(how, "truncate")) MPI_Send(&x, 1, MPI_INT, 1, 5, MPI_COMM_WORLD);
        if (rank == 0) MPI_Recv(&x, 1, MPI_INT, 1, 1, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
        MPI_Barrier(MPI_COMM_WORLD);
    }
    if (rank == 1) MPI_Barrier(MPI_COMM_WORLD);
    MPI_Finalize();
    if (rank == 0) printf("all well\n");
    return 0;
}
