package shm

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
)

// child is what the test binary does when it is started as another process.
func child(role string) int {
	switch role {
	case "owner": // makes a segment, says where, and waits to be killed
		s, err := Create(os.Getenv("SHM_TEST_DIR"), "shmtest", page)
		if err != nil {
			fmt.Println(err)
			return 1
		}
		fmt.Println(s.Path())
		select {}
	case "waker": // adds one to the word and wakes
		s, err := Open(os.Getenv("SHM_TEST_PATH"))
		if err != nil {
			fmt.Println(err)
			return 1
		}
		b, err := s.Map(0, s.Size(), ReadWrite)
		if err != nil {
			fmt.Println(err)
			return 1
		}
		atomic.AddUint32(Word(b, 8), 1)
		if _, err := Wake(Word(b, 8), 1); err != nil {
			fmt.Println(err)
			return 1
		}
		return 0
	}
	return 2
}

// start runs the test binary in a role; the caller waits for it.
func start(t *testing.T, role string, env ...string) (*exec.Cmd, *bytes.Buffer) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(append(os.Environ(), "SHM_TEST_ROLE="+role), env...)
	var out bytes.Buffer
	cmd.Stderr = &out
	return cmd, &out
}

func TestStaleAfterKill(t *testing.T) {
	dir := t.TempDir()
	cmd, errs := start(t, "owner", "SHM_TEST_DIR="+dir)
	pipe, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line := make([]byte, 512)
	n, err := pipe.Read(line)
	path := strings.TrimSpace(string(line[:n]))
	if err != nil || filepath.Dir(path) != dir {
		t.Fatal(path, err, errs)
	}
	mine, err := Create(dir, "shmtest", page)
	if err != nil {
		t.Fatal(err)
	}
	defer mine.Close()
	os.WriteFile(filepath.Join(dir, "somebody-elses"), nil, 0o600)

	if left, err := Stale(dir, ""); err != nil || len(left) != 0 {
		t.Fatal("while both live:", left, err)
	}
	cmd.Process.Kill()
	cmd.Wait()
	left, err := Stale(dir, "shmtest")
	want := Leftover{Path: path, Label: "shmtest", Size: page, PID: cmd.Process.Pid}
	if err != nil || len(left) != 1 || left[0] != want {
		t.Fatal("after kill -9:", left, err)
	}
	if other, err := Stale(dir, "other"); err != nil || len(other) != 0 {
		t.Fatal("another label:", other, err)
	}
	if err := Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := Remove(path); err != nil {
		t.Fatal("remove twice:", err)
	}
	if left, _ := Stale(dir, ""); len(left) != 0 {
		t.Fatal("still there:", left)
	}
	if left, err := Stale(filepath.Join(dir, "none"), ""); err != nil || left != nil {
		t.Fatal("no folder:", left, err)
	}
}

func TestOwnerJudgement(t *testing.T) {
	me := self()
	if me.start == 0 || me.ns == 0 {
		t.Fatalf("cannot say who I am: %+v", me)
	}
	for _, c := range []struct {
		what   string
		change func(*owner)
		dead   bool
	}{
		{"myself", func(*owner) {}, false},
		{"the process id given to another", func(o *owner) { o.start++ }, true},
		{"no such process", func(o *owner) { o.pid = 1 << 30 }, true},
		{"before the machine was started again", func(o *owner) { o.boot = "00000000" }, true},
		{"another host", func(o *owner) { o.host, o.boot, o.pid = "00000000", "00000000", 1<<30 }, false},
		{"another container", func(o *owner) { o.ns, o.pid = 1, 1<<30 }, false},
	} {
		o := me
		c.change(&o)
		if o.dead(me) != c.dead {
			t.Errorf("%s: dead is %v", c.what, !c.dead)
		}
	}
}

func TestNames(t *testing.T) {
	a, err := NewName("x9")
	b, _ := NewName("x9")
	if err != nil || a == b {
		t.Fatal(a, b, err)
	}
	if label, o, ok := parseName(a); !ok || label != "x9" || o != self() {
		t.Fatal(label, o, ok)
	}
	for _, bad := range []string{"", "tutti", a + "-1", strings.Replace(a, "tutti", "other", 1), strings.Replace(a, "-x9-", "-X9-", 1),
		a[:strings.LastIndex(a, "-")+1] + "x"} {
		if _, _, ok := parseName(bad); ok {
			t.Errorf("%q was taken for one of ours", bad)
		}
	}
	if _, err := startOf(1 << 30); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
}
