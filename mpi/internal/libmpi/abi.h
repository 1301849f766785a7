// The binary interfaces of MPI libraries, written down as tables, so that no header of any of
// them is needed. Included by glue.c alone.

#include <stddef.h>

// SYMBOLS is what a library must have (M) or may have (O), and what one with large counts has in
// addition (W), with the arguments of its functions. A
// handle is passed as a 64-bit word, also to a library whose handles are int: in the calling
// conventions of 64-bit Linux either takes one register, or one slot of the stack, and the callee
// looks at the half that it knows.
#define H tutti_handle
#define P void *
#define C const void *
#define SYMBOLS(M, O, W) \
	M(Initialized, (int *)) M(Finalized, (int *)) M(Init_thread, (P, P, int, int *)) M(Query_thread, (int *)) \
	M(Finalize, (void)) M(Abort, (H, int)) M(Get_library_version, (char *, int *)) \
	M(Error_class, (int, int *)) M(Error_string, (int, char *, int *)) M(Comm_set_errhandler, (H, H)) \
	M(Comm_get_attr, (H, int, P, int *)) M(Comm_rank, (H, int *)) M(Comm_size, (H, int *)) \
	M(Comm_group, (H, P)) M(Group_translate_ranks, (H, int, const int *, H, int *)) M(Group_free, (P)) \
	M(Comm_dup, (H, P)) M(Comm_split, (H, int, int, P)) M(Comm_split_type, (H, int, int, H, P)) M(Comm_free, (P)) \
	M(Isend, (C, int, H, int, int, H, P)) M(Issend, (C, int, H, int, int, H, P)) M(Irecv, (P, int, H, int, int, H, P)) \
	M(Test, (P, int *, P)) M(Cancel, (P)) M(Iprobe, (int, int, H, int *, P)) \
	M(Improbe, (int, int, H, int *, P, P)) M(Imrecv, (P, int, H, P, P)) \
	M(Type_contiguous, (int, H, P)) M(Type_create_struct, (int, const int *, const intptr_t *, const P, P)) \
	M(Type_commit, (P)) M(Type_free, (P)) M(Op_create, (P, int, P)) M(Op_free, (P)) \
	M(Win_allocate_shared, (intptr_t, int, H, H, P, P)) M(Win_shared_query, (H, int, intptr_t *, int *, P)) M(Win_free, (P)) \
	M(Barrier, (H)) M(Ibarrier, (H, P)) M(Bcast, (P, int, H, int, H)) M(Ibcast, (P, int, H, int, H, P)) \
	M(Reduce, (C, P, int, H, H, int, H)) M(Ireduce, (C, P, int, H, H, int, H, P)) \
	M(Allreduce, (C, P, int, H, H, H)) M(Iallreduce, (C, P, int, H, H, H, P)) \
	M(Scan, (C, P, int, H, H, H)) M(Iscan, (C, P, int, H, H, H, P)) \
	M(Exscan, (C, P, int, H, H, H)) M(Iexscan, (C, P, int, H, H, H, P)) \
	M(Reduce_scatter, (C, P, C, H, H, H)) M(Ireduce_scatter, (C, P, C, H, H, H, P)) \
	M(Gather, (C, int, H, P, int, H, int, H)) M(Igather, (C, int, H, P, int, H, int, H, P)) \
	M(Gatherv, (C, int, H, P, C, C, H, int, H)) M(Igatherv, (C, int, H, P, C, C, H, int, H, P)) \
	M(Scatter, (C, int, H, P, int, H, int, H)) M(Iscatter, (C, int, H, P, int, H, int, H, P)) \
	M(Scatterv, (C, C, C, H, P, int, H, int, H)) M(Iscatterv, (C, C, C, H, P, int, H, int, H, P)) \
	M(Allgather, (C, int, H, P, int, H, H)) M(Iallgather, (C, int, H, P, int, H, H, P)) \
	M(Allgatherv, (C, int, H, P, C, C, H, H)) M(Iallgatherv, (C, int, H, P, C, C, H, H, P)) \
	M(Alltoall, (C, int, H, P, int, H, H)) M(Ialltoall, (C, int, H, P, int, H, H, P)) \
	M(Alltoallv, (C, C, C, H, P, C, C, H, H)) M(Ialltoallv, (C, C, C, H, P, C, C, H, H, P)) \
	O(Abi_get_version, (int *, int *)) O(Get_count_c, (C, H, int64_t *)) \
	W(Isend_c, (C, int64_t, H, int, int, H, P)) W(Issend_c, (C, int64_t, H, int, int, H, P)) \
	W(Irecv_c, (P, int64_t, H, int, int, H, P)) W(Imrecv_c, (P, int64_t, H, P, P)) \
	W(Bcast_c, (P, int64_t, H, int, H)) W(Ibcast_c, (P, int64_t, H, int, H, P)) \
	W(Reduce_c, (C, P, int64_t, H, H, int, H)) W(Ireduce_c, (C, P, int64_t, H, H, int, H, P)) \
	W(Allreduce_c, (C, P, int64_t, H, H, H)) W(Iallreduce_c, (C, P, int64_t, H, H, H, P)) \
	W(Scan_c, (C, P, int64_t, H, H, H)) W(Iscan_c, (C, P, int64_t, H, H, H, P)) \
	W(Exscan_c, (C, P, int64_t, H, H, H)) W(Iexscan_c, (C, P, int64_t, H, H, H, P)) \
	W(Reduce_scatter_c, (C, P, C, H, H, H)) W(Ireduce_scatter_c, (C, P, C, H, H, H, P)) \
	W(Gather_c, (C, int64_t, H, P, int64_t, H, int, H)) W(Igather_c, (C, int64_t, H, P, int64_t, H, int, H, P)) \
	W(Gatherv_c, (C, int64_t, H, P, C, C, H, int, H)) W(Igatherv_c, (C, int64_t, H, P, C, C, H, int, H, P)) \
	W(Scatter_c, (C, int64_t, H, P, int64_t, H, int, H)) W(Iscatter_c, (C, int64_t, H, P, int64_t, H, int, H, P)) \
	W(Scatterv_c, (C, C, C, H, P, int64_t, H, int, H)) W(Iscatterv_c, (C, C, C, H, P, int64_t, H, int, H, P)) \
	W(Allgather_c, (C, int64_t, H, P, int64_t, H, H)) W(Iallgather_c, (C, int64_t, H, P, int64_t, H, H, P)) \
	W(Allgatherv_c, (C, int64_t, H, P, C, C, H, H)) W(Iallgatherv_c, (C, int64_t, H, P, C, C, H, H, P)) \
	W(Alltoall_c, (C, int64_t, H, P, int64_t, H, H)) W(Ialltoall_c, (C, int64_t, H, P, int64_t, H, H, P)) \
	W(Alltoallv_c, (C, C, C, H, P, C, C, H, H)) W(Ialltoallv_c, (C, C, C, H, P, C, C, H, H, P))

// constants are the numbers of one interface. Where handles are addresses of the library's
// variables, the table has their names.
struct constants {
	const char *name;
	int narrow; // handles are int
	intptr_t in_place;
	int any_source, any_tag, undefined;
	int tag_ub, comm_shared, serialized, multiple;
	tutti_handle world, comm_null, info_null, errors_return, byte;
	tutti_handle types[TUTTI_LOC], ops[TUTTI_OPS];
	// Error classes: the arguments are wrong, from ranges first to last.
	int truncate, no_memory, no_space, unsupported, not_shared, peer_gone;
	int arguments[16];
};

static const struct constants mpich = {
	.name = "MPICH", .narrow = 1, .in_place = -1,
	.any_source = -2, .any_tag = -1, .undefined = -32766,
	.tag_ub = 0x64400001, .comm_shared = 1, .serialized = 2, .multiple = 3,
	.world = 0x44000000, .comm_null = 0x04000000, .info_null = 0x1c000000, .errors_return = 0x54000001, .byte = 0x4c00010d,
	.types = {0x4c000137, 0x4c000238, 0x4c000439, 0x4c00083a, 0x4c00013b, 0x4c00023c, 0x4c00043d, 0x4c00083e,
		0x4c00040a, 0x4c00080b, 0x4c000840, 0x4c001041, 0x4c00013f},
	.ops = {0x58000003, 0x58000004, 0x58000001, 0x58000002, 0x58000005, 0x58000007, 0x58000009, 0x58000006, 0x58000008, 0x5800000a},
	.truncate = 14, .no_memory = 34, .no_space = 36, .unsupported = 44, .not_shared = 57, .peer_gone = 76,
	.arguments = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 19},
};

static const struct constants standard = {
	.name = "the MPI 5 standard", .in_place = 1,
	.any_source = -1, .any_tag = -2, .undefined = -32766,
	.tag_ub = 501, .comm_shared = 221, .serialized = 2048, .multiple = 4096,
	.world = 0x101, .comm_null = 0x100, .info_null = 0x130, .errors_return = 0x142, .byte = 0x247,
	.types = {0x240, 0x248, 0x250, 0x258, 0x241, 0x249, 0x251, 0x259, 0x210, 0x214, 0x212, 0x216, 0x238},
	.ops = {0x21, 0x24, 0x23, 0x22, 0x30, 0x31, 0x32, 0x28, 0x29, 0x2a},
	.truncate = 15, .no_memory = 39, .no_space = 41, .unsupported = 55, .not_shared = 49, .peer_gone = 58,
	.arguments = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13},
};

// Open MPI's handles are filled in from open_names.
static struct constants openmpi = {
	.name = "Open MPI", .in_place = 1,
	.any_source = -1, .any_tag = -1, .undefined = -32766,
	.tag_ub = 0, .comm_shared = 0, .serialized = 2, .multiple = 3,
	.truncate = 15, .no_memory = 39, .no_space = 41, .unsupported = 52, .not_shared = 71, .peer_gone = 75,
	.arguments = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13},
};

static const struct {
	tutti_handle *to;
	const char *symbol;
} open_names[] = {
	{&openmpi.world, "ompi_mpi_comm_world"}, {&openmpi.comm_null, "ompi_mpi_comm_null"},
	{&openmpi.info_null, "ompi_mpi_info_null"}, {&openmpi.errors_return, "ompi_mpi_errors_return"},
	{&openmpi.byte, "ompi_mpi_byte"},
	{&openmpi.types[0], "ompi_mpi_int8_t"}, {&openmpi.types[1], "ompi_mpi_int16_t"},
	{&openmpi.types[2], "ompi_mpi_int32_t"}, {&openmpi.types[3], "ompi_mpi_int64_t"},
	{&openmpi.types[4], "ompi_mpi_uint8_t"}, {&openmpi.types[5], "ompi_mpi_uint16_t"},
	{&openmpi.types[6], "ompi_mpi_uint32_t"}, {&openmpi.types[7], "ompi_mpi_uint64_t"},
	{&openmpi.types[8], "ompi_mpi_float"}, {&openmpi.types[9], "ompi_mpi_double"},
	{&openmpi.types[10], "ompi_mpi_c_float_complex"}, {&openmpi.types[11], "ompi_mpi_c_double_complex"},
	{&openmpi.types[12], "ompi_mpi_c_bool"},
	{&openmpi.ops[0], "ompi_mpi_op_sum"}, {&openmpi.ops[1], "ompi_mpi_op_prod"}, {&openmpi.ops[2], "ompi_mpi_op_max"},
	{&openmpi.ops[3], "ompi_mpi_op_min"}, {&openmpi.ops[4], "ompi_mpi_op_land"}, {&openmpi.ops[5], "ompi_mpi_op_lor"},
	{&openmpi.ops[6], "ompi_mpi_op_lxor"}, {&openmpi.ops[7], "ompi_mpi_op_band"}, {&openmpi.ops[8], "ompi_mpi_op_bor"},
	{&openmpi.ops[9], "ompi_mpi_op_bxor"},
};

// status is what a library writes; room has space for any.
typedef union {
	struct {
		int source, tag, error, cancelled;
		size_t bytes;
	} openmpi;
	struct {
		int low, high_and_cancelled, source, tag, error;
	} mpich;
	struct {
		int source, tag, error, internal[5];
	} standard;
	char room[64];
} status;
