/* internal.h: what the C and the Go part of libtutti.so say to each other. */
#ifndef TUTTI_INTERNAL_H
#define TUTTI_INTERNAL_H

#include "tutti.h"

/* Keeps an error for the calling thread. Texts are not ended by a zero byte. */
void tutti_keep_error(int32_t code, int32_t rank, int32_t peer, int32_t tag, const char *op, size_t op_len,
                      const char *kind, size_t kind_len, const char *comm, size_t comm_len, const char *hint,
                      size_t hint_len, const char *text, size_t text_len);
/* Says whom the C part tells of the error just kept, when the call returns. */
void tutti_keep_handler(tutti_comm comm, uintptr_t handler, uintptr_t context);
/* Asks what tutti_mpi_set_meanwhile has set. */
int tutti_call_meanwhile(void);
/* Calls an operation of the program. */
void tutti_call_op(uintptr_t f, const void *in, void *inout, int64_t count, tutti_type type, uintptr_t context);

#endif
