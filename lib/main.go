// Command lib is libtutti.so, built with -buildmode=c-shared: package mpi for programs that are
// not written in Go. tutti.h is its face and says what each function does.
//
// A call travels like this. The public function, in C, sees whether the process is a fork's child,
// and, for short messages, does the whole work on the shared memory itself (fast.c). Otherwise
// it calls the Go function of the same name with the prefix tuttigo_, which finds what the handles
// mean, makes slices of pointers and counts, and calls package mpi. An error is kept for the thread in C, where the
// public function shows it to the communicator's handler before it returns.
//
// Handles are numbers: a place in a table and a generation, so that an old handle is found out.
package main

// #cgo CFLAGS: -std=gnu11 -Wall -Wextra -Werror -O2
// #include "internal.h"
import "C"

func main() {}
