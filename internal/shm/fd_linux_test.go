package shm

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

func pair(t testing.TB) (a, b *net.UnixConn) {
	t.Helper()
	a, f, err := Socketpair()
	if err != nil {
		t.Fatal(err)
	}
	b, err = ConnFromFile(f)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close(); b.Close() })
	return a, b
}

func TestDescriptorsTravel(t *testing.T) {
	a, b := pair(t)
	s, err := Anonymous("shmtest", page)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	mustMap(t, s, ReadWrite)[5] = 55
	if err := SendFDs(a, []byte("one")); err != nil {
		t.Fatal(err)
	}
	if err := SendFDs(a, []byte("two"), s.File(), s.File()); err != nil {
		t.Fatal(err)
	}
	if err := SendFDs(a, []byte("three"), s.File()); err != nil {
		t.Fatal(err)
	}
	a.Close()
	var got bytes.Buffer
	var files []*os.File
	buf := make([]byte, 64)
	for {
		n, fs, err := RecvFDs(b, buf)
		if err == io.EOF {
			break
		}
		if err != nil || len(fs) > 2 {
			t.Fatal(err, fs)
		}
		got.Write(buf[:n])
		files = append(files, fs...)
	}
	if got.String() != "onetwothree" || len(files) != 3 {
		t.Fatal(got.String(), files)
	}
	for _, f := range files {
		r, err := FromFile(f)
		if err != nil {
			t.Fatal(err)
		}
		if r.Size() != page || mustMap(t, r, ReadOnly)[5] != 55 {
			t.Fatal("not the same memory")
		}
		r.Close()
	}
}

// A message larger than the socket's buffer is taken in parts.
func TestLongMessageWithDescriptor(t *testing.T) {
	a, b := pair(t)
	long := bytes.Repeat([]byte("x"), 4<<20)
	sent := make(chan error, 1)
	go func() { sent <- SendFDs(a, long, os.Stdin) }()
	n, count, buf := 0, 0, make([]byte, 1<<16)
	for n < len(long) {
		m, fs, err := RecvFDs(b, buf)
		if err != nil {
			t.Fatal(err)
		}
		n += m
		for _, f := range fs {
			count++
			f.Close()
		}
	}
	if err := <-sent; err != nil || count != 1 {
		t.Fatal(err, count)
	}
}

func TestSendRefuses(t *testing.T) {
	a, _ := pair(t)
	if err := SendFDs(a, nil, os.Stdin); !errors.Is(err, ErrInvalid) {
		t.Error("descriptor without a byte:", err)
	}
	if err := SendFDs(a, []byte("x"), make([]*os.File, maxFDs+1)...); !errors.Is(err, ErrInvalid) {
		t.Error("too many:", err)
	}
}

func openFDs(t *testing.T) int {
	t.Helper()
	e, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(e)
}

// More descriptors than the receiver has room for: the kernel cuts the control message.
func TestCutControlMessage(t *testing.T) {
	a, b := pair(t)
	fds := make([]int, maxFDs+8)
	for i := range fds {
		fds[i] = int(os.Stdin.Fd())
	}
	before := openFDs(t)
	if _, _, err := a.WriteMsgUnix([]byte("x"), unix.UnixRights(fds...), nil); err != nil {
		t.Fatal(err)
	}
	n, files, err := RecvFDs(b, make([]byte, 8))
	if !errors.Is(err, ErrFull) || n != 1 || files != nil {
		t.Fatal(n, files, err)
	}
	if after := openFDs(t); after != before {
		t.Fatalf("%d descriptors leaked", after-before)
	}
}

func TestRecvAfterReset(t *testing.T) {
	a, b := pair(t)
	a.Write([]byte("unread"))
	b.Write([]byte("x"))
	a.Close() // with unread bytes: the peer sees a reset
	buf := make([]byte, 8)
	for {
		n, _, err := RecvFDs(b, buf)
		if n < 0 {
			t.Fatal(n, err)
		}
		if err != nil {
			return
		}
	}
}

func FuzzControlMessages(f *testing.F) {
	f.Add([]byte{})
	f.Add(unix.UnixCredentials(&unix.Ucred{Pid: 1}))
	f.Add(bytes.Repeat([]byte{0xff}, 40))
	f.Add([]byte{16, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0})
	f.Fuzz(func(t *testing.T, oob []byte) {
		// Real descriptors would be closed under the test's feet: numbers no process has.
		for i := unix.CmsgLen(0); i+4 <= len(oob); i += 4 {
			oob[i+3] |= 0x40
		}
		files, bad := parseRights(oob)
		if bad != nil && !errors.Is(bad, ErrInvalid) {
			t.Fatal(bad)
		}
		for _, f := range files {
			f.Close()
		}
	})
}
