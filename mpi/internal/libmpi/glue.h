// What the Go side calls. Handles of the library travel as 64-bit words, whatever they are in the
// library; ranks, tags and types as the numbers of package device.
#ifndef TUTTI_LIBMPI_GLUE_H
#define TUTTI_LIBMPI_GLUE_H

#include <stdint.h>

typedef intptr_t tutti_handle;

// The numbers of package device; lib.go checks that they agree.
enum {
	TUTTI_ANY_SOURCE = -1,
	TUTTI_ANY_TAG = -31,
	TUTTI_TYPES = 17, // element types, of which from TUTTI_LOC on pairs of 16 bytes
	TUTTI_LOC = 13,
	TUTTI_OPS = 10, // reductions that a library may know: Sum to BXor
};

// The binary interfaces of MPI libraries.
enum { TUTTI_OPENMPI = 1, TUTTI_MPICH, TUTTI_STANDARD };

// What errors of a library mean, whatever their numbers are.
enum {
	TUTTI_ERR_OTHER = 1,
	TUTTI_ERR_TRUNCATE,
	TUTTI_ERR_ARGUMENT,
	TUTTI_ERR_MEMORY,
	TUTTI_ERR_UNSUPPORTED,
	TUTTI_ERR_PEER,
};

// How an operation stands. It is done if done is not 0; otherwise handle is its request. After an
// error it is done, and handle is of no use.
typedef struct {
	tutti_handle handle; // the request, or the message of a matched probe
	int64_t bytes;
	int32_t err; // an error code of the library, 0 if all is well
	int32_t done;
	int32_t source, tag;
	int32_t cancelled;
} tutti_result;

// A collective operation. Counts are in elements; of the four arrays (of int, or of 64 bits where
// wide is set) those that are not 0 make the v form. op is a number of package device, or
// op_handle and type_handle are what tutti_op_create has made.
typedef struct {
	int32_t kind, type, op, root;
	int32_t start; // 1: only begin it
	int32_t wide;
	tutti_handle comm, op_handle, type_handle;
	uintptr_t send, recv; // 1: in place
	int64_t send_count, recv_count;
	uintptr_t send_counts, send_displs, recv_counts, recv_displs;
} tutti_call;

// tutti_load finds an MPI library: in this process, or the file named. It gives an error for a
// person, to be freed, or 0. already says whether the library was here before.
char *tutti_load(const char *file, int *already);
char *tutti_library_file(void);
char *tutti_library_version(void);
int tutti_abi(void);
int64_t tutti_most(void); // elements in one count
int tutti_running(void);  // whether MPI has been begun in this process, by whomever

// tutti_init begins MPI unless somebody has; threads asks for less than the library's best if it
// is 0 or more. Signal actions are as before afterwards.
int tutti_init(int threads, int *mine, int *multiple, tutti_handle *world, int *tag_ub);
int tutti_finalize(void);
int tutti_abort(int code);
int tutti_error(int code, char *text, int room); // gives a TUTTI_ERR

// Point to point. n is in elements; spins is how often to ask at most whether it is done, 0 for not at all. From
// the yield-th question on the processor is offered to others each time.
tutti_result tutti_send(uintptr_t buf, int64_t n, int type, int to, int tag, int sync, tutti_handle comm, int spins, int yield);
tutti_result tutti_recv(uintptr_t buf, int64_t n, int type, int from, int tag, tutti_handle comm, int spins, int yield);
tutti_result tutti_test(tutti_handle request, int spins, int yield);
int tutti_cancel(tutti_handle request);
tutti_result tutti_probe(int from, int tag, tutti_handle comm, int matched, int spins, int yield);
tutti_result tutti_mrecv(uintptr_t buf, int64_t n, int type, tutti_handle message, int spins, int yield);
// tutti_poll asks for n requests until one is done, *stir is not 0, or it has asked often enough.
// A request that is done becomes 0, and its result stands at its place.
int tutti_poll(tutti_handle *requests, tutti_result *results, int n, int spins, int yield, const int *stir);

tutti_result tutti_collective(tutti_call call);
int tutti_op_create(int commutes, int64_t element, tutti_handle *op, tutti_handle *type);
void tutti_op_free(tutti_handle op, tutti_handle type);

int tutti_rank(tutti_handle comm, int *rank, int *size);
int tutti_members(tutti_handle comm, int *ranks, int n);
int tutti_dup(tutti_handle comm, tutti_handle *made);
int tutti_split(tutti_handle comm, int color, int key, int shared, tutti_handle *made); // *made is 0 for no communicator
int tutti_comm_free(tutti_handle comm);

int tutti_win_create(tutti_handle comm, int64_t bytes, tutti_handle *win);
int tutti_win_part(tutti_handle win, int rank, uintptr_t *base);
int tutti_win_free(tutti_handle win);

#endif
