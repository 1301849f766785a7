/* fast.h: short messages without entering Go. */
#ifndef TUTTI_FAST_H
#define TUTTI_FAST_H

#include "tutti.h"

extern const uint8_t fast_type_size[];

/* Each does the whole call, or nothing and returns TUTTI_PENDING. */
int fast_send(const void *buf, int64_t count, tutti_type type, int to, int tag, tutti_comm comm);
int fast_recv(void *buf, int64_t count, tutti_type type, int from, int tag, tutti_comm comm, tutti_status *status, int spins);
int fast_recv_alloc(tutti_alloc alloc, void *context, int from, int tag, tutti_comm comm, tutti_status *status, int spins);

#endif
