#include "textflag.h"

// The kernels of kernel.go, four columns to a vector. Rows of the block are r0..r3; registers
// kept through every loop:
//	R8  bytes of a row of mp columns, R9 three of them
//	R10 bytes of a factor's column of W (np samples)
// See kernel.go for the contract: same products, same order, same bits.

DATA tinyAVX<>+0(SB)/8, $1e-100
GLOBL tinyAVX<>(SB), RODATA|NOPTR, $8

// func weighAVX(b, weight, w, h *float64, mp, np, p int)
TEXT ·weighAVX(SB), NOSPLIT, $0-56
	MOVQ b+0(FP), DI
	MOVQ weight+8(FP), SI
	MOVQ w+16(FP), R11
	MOVQ h+24(FP), R12
	MOVQ mp+32(FP), R8
	MOVQ np+40(FP), R10
	MOVQ R8, CX
	SHRQ $2, CX             // vectors in a row
	SHLQ $3, R8
	LEAQ (R8)(R8*2), R9
	SHLQ $3, R10

weighColumns:
	VXORPD Y0, Y0, Y0
	VXORPD Y1, Y1, Y1
	VXORPD Y2, Y2, Y2
	VXORPD Y3, Y3, Y3
	MOVQ R12, BX            // h, factor by factor
	MOVQ R11, AX            // w, factor by factor
	MOVQ p+48(FP), DX

weighFactors:
	VMOVUPD (BX), Y4
	VBROADCASTSD (AX), Y5
	VBROADCASTSD 8(AX), Y6
	VBROADCASTSD 16(AX), Y7
	VBROADCASTSD 24(AX), Y8
	VFMADD231PD Y4, Y5, Y0
	VFMADD231PD Y4, Y6, Y1
	VFMADD231PD Y4, Y7, Y2
	VFMADD231PD Y4, Y8, Y3
	ADDQ R8, BX
	ADDQ R10, AX
	DECQ DX
	JNZ  weighFactors

	VMULPD (SI), Y0, Y0
	VMULPD (SI)(R8*1), Y1, Y1
	VMULPD (SI)(R8*2), Y2, Y2
	VMULPD (SI)(R9*1), Y3, Y3
	VMOVUPD Y0, (DI)
	VMOVUPD Y1, (DI)(R8*1)
	VMOVUPD Y2, (DI)(R8*2)
	VMOVUPD Y3, (DI)(R9*1)
	ADDQ $32, SI
	ADDQ $32, DI
	ADDQ $32, R12
	DECQ CX
	JNZ  weighColumns
	VZEROUPPER
	RET

// func updateRowsAVX(w, b, wv, h *float64, mp, np, p int)
TEXT ·updateRowsAVX(SB), NOSPLIT, $0-56
	MOVQ w+0(FP), AX
	MOVQ h+24(FP), BX
	MOVQ mp+32(FP), R8
	MOVQ np+40(FP), R10
	MOVQ p+48(FP), DX
	MOVQ R8, R11
	SHRQ $2, R11
	SHLQ $3, R8
	LEAQ (R8)(R8*2), R9
	SHLQ $3, R10
	VXORPD Y14, Y14, Y14
	VBROADCASTSD tinyAVX<>(SB), Y15

updateFactors:
	VXORPD Y0, Y0, Y0       // Y0..Y3: num of r0..r3
	VXORPD Y1, Y1, Y1
	VXORPD Y2, Y2, Y2
	VXORPD Y3, Y3, Y3
	VXORPD Y4, Y4, Y4       // Y4..Y7: den of r0..r3
	VXORPD Y5, Y5, Y5
	VXORPD Y6, Y6, Y6
	VXORPD Y7, Y7, Y7
	MOVQ b+8(FP), DI
	MOVQ wv+16(FP), SI
	MOVQ R11, CX

updateColumns:
	VMOVUPD (BX), Y8
	VFMADD231PD (SI), Y8, Y0
	VFMADD231PD (SI)(R8*1), Y8, Y1
	VFMADD231PD (SI)(R8*2), Y8, Y2
	VFMADD231PD (SI)(R9*1), Y8, Y3
	VFMADD231PD (DI), Y8, Y4
	VFMADD231PD (DI)(R8*1), Y8, Y5
	VFMADD231PD (DI)(R8*2), Y8, Y6
	VFMADD231PD (DI)(R9*1), Y8, Y7
	ADDQ $32, SI
	ADDQ $32, DI
	ADDQ $32, BX            // ends at the next factor
	DECQ CX
	JNZ  updateColumns

	// Transpose and add: one lane for each row, (l0+l1)+(l2+l3) as sum4 does.
	VHADDPD Y1, Y0, Y8
	VHADDPD Y3, Y2, Y9
	VPERM2F128 $0x20, Y9, Y8, Y10
	VPERM2F128 $0x31, Y9, Y8, Y11
	VADDPD Y11, Y10, Y0     // num
	VHADDPD Y5, Y4, Y8
	VHADDPD Y7, Y6, Y9
	VPERM2F128 $0x20, Y9, Y8, Y10
	VPERM2F128 $0x31, Y9, Y8, Y11
	VADDPD Y11, Y10, Y1     // den

	// As scaled: x*(num/den) where den > 0, else x; zero if below tiny.
	VMOVUPD (AX), Y2
	VDIVPD Y1, Y0, Y3
	VMULPD Y3, Y2, Y3
	VCMPPD $0x1E, Y14, Y1, Y4
	VBLENDVPD Y4, Y3, Y2, Y2
	VCMPPD $0x1D, Y15, Y2, Y4
	VANDPD Y4, Y2, Y2
	VMOVUPD Y2, (AX)
	ADDQ R10, AX
	DECQ DX
	JNZ  updateFactors
	VZEROUPPER
	RET

// func addRowsAVX(num, den, b, wv, w *float64, mp, np, p int)
TEXT ·addRowsAVX(SB), NOSPLIT, $0-64
	MOVQ num+0(FP), BX
	MOVQ den+8(FP), R12
	MOVQ w+32(FP), AX
	MOVQ mp+40(FP), R8
	MOVQ np+48(FP), R10
	MOVQ p+56(FP), DX
	MOVQ R8, R11
	SHRQ $2, R11
	SHLQ $3, R8
	LEAQ (R8)(R8*2), R9
	SHLQ $3, R10

addFactors:
	VBROADCASTSD (AX), Y0
	VBROADCASTSD 8(AX), Y1
	VBROADCASTSD 16(AX), Y2
	VBROADCASTSD 24(AX), Y3
	MOVQ b+16(FP), DI
	MOVQ wv+24(FP), SI
	MOVQ R11, CX

addColumns:
	VMOVUPD (BX), Y4
	VMOVUPD (R12), Y5
	VFMADD231PD (SI), Y0, Y4
	VFMADD231PD (DI), Y0, Y5
	VFMADD231PD (SI)(R8*1), Y1, Y4
	VFMADD231PD (DI)(R8*1), Y1, Y5
	VFMADD231PD (SI)(R8*2), Y2, Y4
	VFMADD231PD (DI)(R8*2), Y2, Y5
	VFMADD231PD (SI)(R9*1), Y3, Y4
	VFMADD231PD (DI)(R9*1), Y3, Y5
	VMOVUPD Y4, (BX)
	VMOVUPD Y5, (R12)
	ADDQ $32, SI
	ADDQ $32, DI
	ADDQ $32, BX
	ADDQ $32, R12
	DECQ CX
	JNZ  addColumns

	ADDQ R10, AX
	DECQ DX
	JNZ  addFactors
	VZEROUPPER
	RET
