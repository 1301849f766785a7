package launch

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// statusOf reads si_status, which x/sys does not name: of SIGCHLD's part of the union, behind
// process id and user id of 32 bits each.
func statusOf(info *unix.Siginfo) int {
	head := unsafe.Offsetof(info.Code) + unsafe.Sizeof(info.Code)
	head = (head + 7) &^ 7 // the union holds pointers
	return int(*(*int32)(unsafe.Add(unsafe.Pointer(info), head+8)))
}
