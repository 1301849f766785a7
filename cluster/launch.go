package cluster

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/tutti-hpc/tutti"
)

// Daemon is a process of a detached cluster that is to be started: the controller, or an agent.
type Daemon struct {
	Name    string   // "controller", "agent": for people
	Program string   // the file that is executed
	Args    []string // its arguments; [ReadyArg] is added
	Log     string   // where what it prints is added
}

// ReadyArg is the argument by which a part is told on which descriptor to report.
const ReadyArg = "--ready-fd=3"

// Report is what a part tells whoever started it: that it is ready, or why it will never be.
type Report struct {
	Ready bool   `json:"ready"`
	Addr  string `json:"addr,omitempty"` // where it listens on the network
	Kind  string `json:"kind,omitempty"` // of the error, as the fields after it
	Op    string `json:"op,omitempty"`
	Text  string `json:"text,omitempty"`
	Hint  string `json:"hint,omitempty"`
}

// Launch starts a part in a session of its own, so that it outlives this process and its terminal,
// and waits until it is ready. It says what the part reported, or, where it ended before it did,
// its last words. If ctx ends first the part is killed. wait blocks until the part has ended.
func Launch(ctx context.Context, p Daemon) (rep Report, wait func(), err error) {
	op := "start " + p.Name
	out, err := openLog(p.Log)
	if err != nil {
		return rep, nil, tutti.E(op, tutti.KindOf(err), err)
	}
	defer out.Close()
	began, _ := out.Seek(0, io.SeekEnd)
	r, w, err := os.Pipe()
	if err != nil {
		return rep, nil, tutti.E(op, tutti.Full, err)
	}
	defer r.Close()
	cmd := exec.Command(p.Program, append(p.Args, ReadyArg)...)
	cmd.Stdout, cmd.Stderr, cmd.ExtraFiles = out, out, []*os.File{w}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	err = cmd.Start()
	w.Close()
	if err != nil {
		return rep, nil, tutti.E(op, tutti.KindOf(err), err)
	}
	stop := context.AfterFunc(ctx, func() { _ = cmd.Process.Kill() })
	defer stop()
	data, _ := bufio.NewReader(io.LimitReader(r, 64<<10)).ReadBytes('\n') // it ends without a line if the part dies
	if json.Unmarshal(data, &rep) == nil && rep.Ready {
		gone := make(chan struct{})
		go func() {
			defer close(gone)
			_ = cmd.Wait() // or it stays as a zombie for as long as we live
		}()
		return rep, func() { <-gone }, nil
	}
	return rep, nil, p.failed(ctx, op, rep, cmd.Wait(), began)
}

// failed is the error of a part that did not become ready.
func (p Daemon) failed(ctx context.Context, op string, rep Report, ended error, began int64) error {
	if rep.Text != "" {
		e := tutti.E(rep.Op, tutti.KindNamed(rep.Kind), errors.New(rep.Text))
		e.Hint = cmp.Or(rep.Hint, "its log is "+p.Log)
		return e
	}
	e := tutti.Errorf(op, tutti.Lost, "it ended before it was ready: %w", endOf(ended))
	if ctx.Err() != nil {
		e = tutti.Errorf(op, tutti.KindOf(ctx.Err()), "it was not ready in time and was killed: %w", ctx.Err())
	}
	e.Hint = "its log is " + p.Log
	if words := LastLines(p.Log, began, 10); words != "" {
		e.Err = &withLog{e.Err, words}
	}
	return e
}

func endOf(err error) error {
	if err == nil {
		return errors.New("exit status 0")
	}
	return err
}

// withLog is an error with the words of a log beneath it.
type withLog struct {
	error
	words string
}

func (e *withLog) Error() string { return e.error.Error() + "\n" + e.words }
func (e *withLog) Unwrap() error { return e.error }

// logLimit is the length from which a log is put aside when the next process begins.
const logLimit = 16 << 20

// openLog opens a log for appending; a long one becomes the old one first.
func openLog(path string) (*os.File, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, err
	}
	if st, err := os.Stat(path); err == nil && st.Size() > logLimit {
		_ = os.Rename(path, path+".old") // a log that stays long is better than none
	}
	return os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_RDWR, 0o600)
}

// LastLines gives the last n lines that a file has after an offset, indented.
func LastLines(path string, after int64, n int) string {
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer f.Close()
	if size, err := f.Seek(0, io.SeekEnd); err == nil {
		after = max(after, size-(32<<10))
	}
	data, err := io.ReadAll(io.NewSectionReader(f, after, 32<<10))
	if data = bytes.TrimSpace(data); err != nil || len(data) == 0 {
		return ""
	}
	lines := strings.Split(string(data), "\n")
	lines = lines[max(0, len(lines)-n):]
	return "  | " + strings.Join(lines, "\n  | ")
}

// HoldReady keeps the descriptor on which this process will report from the processes that it
// starts meanwhile: they would hold it open after its end.
func HoldReady(fd int) {
	if fd > 0 {
		syscall.CloseOnExec(fd)
	}
}

// ReportReady tells whoever launched this process that it is ready, or with err why it will never
// be. Without a descriptor (0) it does nothing.
func ReportReady(fd int, addr string, err error) {
	if fd <= 0 {
		return
	}
	f := os.NewFile(uintptr(fd), "ready")
	if f == nil {
		return
	}
	defer f.Close()
	rep := Report{Ready: err == nil, Addr: addr}
	if err != nil {
		rep.Op, rep.Text = opAndText(err)
		rep.Kind, rep.Hint = tutti.KindOf(err).String(), tutti.HintOf(err)
	}
	_ = json.NewEncoder(f).Encode(rep) // nobody may be there any more to hear it
}

// opAndText parts an error into what was being done and what happened.
func opAndText(err error) (op, text string) {
	var e *tutti.Error
	if errors.As(err, &e) && e == err {
		return e.Op, strings.TrimPrefix(strings.TrimPrefix(e.Error(), e.Op+": "), e.Kind.String()+": ")
	}
	return "start", err.Error()
}

// Gone waits until a process of this host has ended, or ctx has.
func (r *Running) Gone(ctx context.Context) error {
	tick := time.NewTicker(10 * time.Millisecond) // no descriptor tells of the end of a process that is not our child, everywhere
	defer tick.Stop()
	for r.Alive() || lingers(r.Pid) {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return tutti.Errorf("wait for process", tutti.KindOf(ctx.Err()), "process %d has not ended: %w", r.Pid, ctx.Err())
		}
	}
	return nil
}

// lingers reports whether threads of a process that was killed are still ending: until then its
// files and sockets are open.
func lingers(pid int) bool {
	threads, err := os.ReadDir("/proc/" + strconv.Itoa(pid) + "/task")
	return err == nil && len(threads) > 1 && birth(pid) == ""
}

// Signal sends a signal to a process of this host, if it is still the one that wrote itself down.
func (r *Running) Signal(sig os.Signal) error {
	p, err := os.FindProcess(r.Pid) // holds on to the process, so that the number cannot change hands
	if err != nil {
		return tutti.E("signal process", tutti.NotFound, err)
	}
	defer p.Release()
	if !r.Alive() {
		return tutti.Errorf("signal process", tutti.NotFound, "process %d has ended", r.Pid)
	}
	if err := p.Signal(sig); err != nil {
		return tutti.E("signal process", tutti.KindOf(err), err)
	}
	return nil
}
