//go:build cgo && linux

package libmpi

/*
#cgo CFLAGS: -std=c11 -O2 -Wall -Wextra
#cgo LDFLAGS: -ldl -lpthread
#include <stdlib.h>
#include <unistd.h>
#include "glue.h"
*/
import "C"

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"unsafe"

	"github.com/tutti-hpc/tutti"
	"github.com/tutti-hpc/tutti/mpi/internal/device"
)

// The glue counts on the numbers of package device: a difference does not compile.
var (
	_ = [1]int{}[C.TUTTI_ANY_SOURCE-device.AnySource]
	_ = [1]int{}[C.TUTTI_ANY_TAG-device.AnyTag]
	_ = [1]int{}[C.TUTTI_TYPES-device.Types]
	_ = [1]int{}[C.TUTTI_LOC-device.LocInt32]
	_ = [1]int{}[C.TUTTI_OPS-device.MinLoc]
)

// Running says whether MPI has been begun in this process, by whomever.
func Running() bool { return C.tutti_running() != 0 }

// load finds the library of a launcher; NotFound if there is none.
func load(l Launcher) error {
	var tried []string
	for _, file := range l.candidates() {
		name := C.CString(file)
		var already C.int
		why := C.tutti_load(name, &already)
		C.free(unsafe.Pointer(name))
		if why == nil {
			return nil
		}
		text := C.GoString(why)
		C.free(unsafe.Pointer(why))
		if !strings.Contains(text, file) {
			text = file + ": " + text
		}
		tried = append(tried, text)
	}
	return device.Errorf(tutti.NotFound, "no MPI library for the launcher of %s: %s", l.Name, strings.Join(tried, "; ")).
		WithHint("set LD_LIBRARY_PATH to its folder, or %s to its file", EnvLibrary)
}

// libraryName is the first line of what the library says about itself.
func libraryName() string {
	text := strings.TrimSpace(C.GoString(C.tutti_library_version()))
	if i := strings.IndexAny(text, "\n,"); i > 0 {
		text = text[:i]
	}
	return strings.Join(strings.Fields(text), " ")
}

func libraryFile() string { return C.GoString(C.tutti_library_file()) }

// threads is which thread level to ask for: -1 for the highest.
func threads() C.int {
	if os.Getenv(EnvThreads) == "serialized" {
		return 2
	}
	return -1
}

var errorKinds = map[C.int]tutti.Kind{
	C.TUTTI_ERR_OTHER: tutti.Other, C.TUTTI_ERR_TRUNCATE: tutti.Truncated, C.TUTTI_ERR_ARGUMENT: tutti.Invalid,
	C.TUTTI_ERR_MEMORY: tutti.Full, C.TUTTI_ERR_UNSUPPORTED: tutti.Unsupported, C.TUTTI_ERR_PEER: tutti.Revoked,
}

// fault turns an error code of the library into an error with a kind; nil for 0.
func fault(code C.int) error {
	if code == 0 {
		return nil
	}
	text := make([]byte, 512)
	class := C.tutti_error(code, (*C.char)(unsafe.Pointer(&text[0])), C.int(len(text)))
	words := strings.Fields(C.GoString((*C.char)(unsafe.Pointer(&text[0]))))
	if len(words) == 0 {
		words = []string{fmt.Sprintf("error %d of the MPI library", code)}
	}
	return tutti.E("mpi", errorKinds[class], errors.New(strings.Join(words, " ")))
}
