package main

import (
	"bufio"
	bytesof "encoding/binary"
	"encoding/json"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// speaker is a client of a gateway, as far as these tests need one.
type speaker struct {
	t    *testing.T
	sock net.Conn
	in   *bufio.Reader
	seq  uint64
}

// gateway starts one as the Python package does, and gives its process and socket.
func (w *world) gateway(args ...string) (cmd *exec.Cmd, socket string) {
	w.t.Helper()
	r, f, err := os.Pipe()
	if err != nil {
		w.t.Fatal(err)
	}
	defer r.Close()
	socket = filepath.Join(w.dir, "run", "gw", "g.sock")
	cmd = exec.Command(w.bin, append([]string{"gateway", "--socket", socket, "--ready-fd", "3"}, args...)...)
	cmd.Env, cmd.Dir, cmd.ExtraFiles, cmd.Stderr = w.env, filepath.Join(w.dir, "work"), []*os.File{f}, os.Stderr
	err = cmd.Start()
	f.Close()
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	var said struct {
		Socket string
		Pid    int
		Error  struct{ Kind, Text string }
	}
	if err := json.NewDecoder(r).Decode(&said); err != nil || said.Socket != socket || said.Pid != cmd.Process.Pid {
		w.t.Fatalf("the gateway says %+v, %v", said, err)
	}
	return cmd, socket
}

// meet connects to a gateway and is welcomed.
func (w *world) meet(socket string) *speaker {
	w.t.Helper()
	sock, err := net.Dial("unix", socket)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { sock.Close() })
	_ = sock.SetDeadline(time.Now().Add(patience))
	s := &speaker{t: w.t, sock: sock, in: bufio.NewReader(sock)}
	out, err := exec.Command("python3", "-c", "import sys, json; print(json.dumps({'protocol': 1, 'python': '%d.%d' % sys.version_info[:2], 'executable': sys.executable, 'pid': 1, 'name': 'test'}))").Output()
	if err != nil {
		w.t.Fatal(err)
	}
	s.send(1, out)
	if kind, body := s.next(); kind != 33 {
		w.t.Fatalf("no welcome: %d %s", kind, body)
	}
	return s
}

func (s *speaker) send(kind uint16, body []byte) {
	s.t.Helper()
	b := bytesof.LittleEndian.AppendUint32(nil, uint32(len(body)))
	b = append(bytesof.LittleEndian.AppendUint16(b, kind), 0, 0)
	if _, err := s.sock.Write(append(b, body...)); err != nil {
		s.t.Fatal(err)
	}
}

// next reads a frame; kind 0 at the end.
func (s *speaker) next() (kind uint16, body []byte) {
	s.t.Helper()
	var head [8]byte
	if _, err := io.ReadFull(s.in, head[:]); err != nil {
		return 0, nil
	}
	body = make([]byte, bytesof.LittleEndian.Uint32(head[:]))
	if _, err := io.ReadFull(s.in, body); err != nil {
		return 0, nil
	}
	return bytesof.LittleEndian.Uint16(head[4:]), body
}

// ask asks, and decodes the answer.
func (s *speaker) ask(question string, into any) {
	s.t.Helper()
	s.seq++
	s.send(8, append(bytesof.LittleEndian.AppendUint64(nil, s.seq), question...))
	for {
		kind, body := s.next()
		if kind == 0 {
			s.t.Fatalf("the gateway has gone before it answered %s", question)
		}
		if kind != 36 {
			continue
		}
		if body[8] != 1 {
			s.t.Fatalf("%s: %s", question, body[13:])
		}
		if into != nil {
			if err := json.Unmarshal(body[13:13+bytesof.LittleEndian.Uint32(body[9:])], into); err != nil {
				s.t.Fatal(err)
			}
		}
		return
	}
}

// A gateway that is killed takes its engines along, and its clients notice.
func TestGatewayKilled(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	cmd, socket := w.gateway("--embedded", "--engines", "2")
	s := w.meet(socket)
	s.ask(`{"verb":"wait_engines","n":2,"timeout":25}`, nil)
	var list struct{ Engines []struct{ Pid int } }
	s.ask(`{"verb":"engines"}`, &list)
	if len(list.Engines) != 2 {
		t.Fatalf("%+v", list)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	for {
		if kind, _ := s.next(); kind == 0 {
			break
		}
	}
	late := time.Now().Add(patience)
	for _, e := range list.Engines {
		for syscall.Kill(e.Pid, 0) == nil {
			if time.Now().After(late) {
				t.Fatalf("engine %d lives on", e.Pid)
			}
			_ = w.sh("true") // a moment
		}
	}
}

// A gateway that a client stops leaves nothing.
func TestGatewayStopped(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	cmd, socket := w.gateway("--embedded", "--engines", "1")
	s := w.meet(socket)
	s.ask(`{"verb":"stop_cluster"}`, nil)
	if err := cmd.Wait(); err != nil {
		t.Errorf("it ended with %v", err)
	}
	left, err := os.ReadDir(filepath.Dir(socket))
	for _, f := range left {
		t.Errorf("it has left %s", f.Name())
	}
	if err != nil {
		t.Error(err)
	}
}

// For a cluster that runs the gateway is one of its clients, and others use the same engines.
func TestGatewayJoins(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.tutti("gateway", "--socket", filepath.Join(w.dir, "run", "none.sock"))
	if r.status == 0 || !strings.Contains(r.err, "there is no running cluster") {
		t.Errorf("without a cluster: %+v", r)
	}
	w.must("start", "--python", "python3", "--engines", "1")
	cmd, socket := w.gateway("--linger", "0.05")
	s := w.meet(socket)
	var a struct{ IDs []int }
	s.ask(`{"verb":"wait_engines","n":1,"timeout":25}`, &a)
	if len(a.IDs) != 1 || a.IDs[0] != 0 {
		t.Errorf("engines %v", a.IDs)
	}
	s.sock.Close()
	if err := cmd.Wait(); err != nil {
		t.Errorf("it ended with %v", err)
	}
	if out := w.must("engines", "-q"); strings.TrimSpace(out) != "0" {
		t.Errorf("the engines have not outlived the gateway: %q", out)
	}
	w.must("stop")
}
