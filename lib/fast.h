/* fast.h: short messages without entering Go. */
#ifndef TUTTI_FAST_H
#define TUTTI_FAST_H

#include "tutti.h"

/* Communicators whose handles have a place below this may use it. */
#define FAST_COMMS 64
#define FAST_PLACE ((1u << 20) - 1) /* the bits of a handle that are its place */

/* For Go: the memory that describes a communicator to this side, NULL if there is none for it;
 * zeroed memory that is never given back; and the sizes of engine, communicator and ring. */
void *fast_place(int32_t handle);
void *fast_memory(size_t bytes);
size_t fast_sizes(int which);

extern const uint8_t fast_type_size[];

/* Each does the whole call, or nothing and returns TUTTI_PENDING. */
int fast_send(const void *buf, int64_t count, tutti_type type, int to, int tag, tutti_comm comm);
int fast_recv(void *buf, int64_t count, tutti_type type, int from, int tag, tutti_comm comm, tutti_status *status, int spins);
int fast_recv_alloc(tutti_alloc alloc, void *context, int from, int tag, tutti_comm comm, tutti_status *status, int spins);

#endif
