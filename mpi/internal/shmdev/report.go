package shmdev

import (
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/tutti-hpc/tutti/mpi/internal/device"
)

// What a rank may wait for; from opColl on, a collective operation.
const (
	opNone = iota
	opSend
	opRecv
	opProbe
	opWait
	opColl
)

// begin notes what its rank waits for, and since when, unless it has been noted before.
func (w *waitRecord) begin(x what) {
	if w.op.Load() != opNone {
		return
	}
	w.peer.Store(int32(x.peer))
	w.tag.Store(int32(x.tag))
	w.ctx.Store(x.ctx)
	w.since.Store(time.Now().UnixNano())
	w.op.Store(x.op)
}

func (w *waitRecord) end() {
	if w.op.Load() != opNone {
		w.op.Store(opNone)
	}
}

// what describes the wait for one request.
func (r *request) what() what {
	switch {
	case r.run != nil:
		return what{opColl + uint32(r.tag), -1, r.run.tag, r.c.ctx}
	case r.recv():
		return what{opRecv, r.node.Src, r.node.Tag, r.c.ctx}
	}
	return what{opSend, r.dst, r.tag, r.c.ctx}
}

func (w *waitRecord) describe() string {
	op, peer, tag := w.op.Load(), int(w.peer.Load()), int(w.tag.Load())
	var b strings.Builder
	switch {
	case op == opNone:
		return "does not wait"
	case op >= opColl:
		fmt.Fprintf(&b, "waits in %v", device.Kind(op-opColl))
		if peer >= 0 {
			fmt.Fprintf(&b, " for root %d", peer)
		}
	case op == opWait:
		fmt.Fprintf(&b, "waits for one or all of %d requests", peer)
	default:
		fmt.Fprintf(&b, "waits in %s, tag %s", [...]string{opSend: "Send to ", opRecv: "Recv from ", opProbe: "Probe of "}[op]+
			name(peer, device.AnySource), name(tag, device.AnyTag))
	}
	fmt.Fprintf(&b, ", communicator %d, for %v", w.ctx.Load(), time.Since(time.Unix(0, w.since.Load())).Round(10*time.Millisecond))
	return b.String()
}

func name(n, wild int) string {
	if n == wild {
		return "any"
	}
	return fmt.Sprint(n)
}

// Waiting implements device.World.
func (w *World) Waiting() string {
	e := w.e
	e.lock()
	defer e.unlock()
	if e.ended {
		return "the world is finalized\n"
	}
	return e.report()
}

func (e *engine) report() string {
	var b strings.Builder
	for r := range e.n {
		text := [...]string{absent: "has not come yet", finalized: "has left", lost: "has died"}
		s := state(e.a, r)
		line := e.a.rank(r).wait.describe()
		if s != joined {
			line = text[s]
		}
		fmt.Fprintf(&b, "rank %d %s\n", r, line)
	}
	return b.String()
}

// stalled reports once when every rank has waited for long: then nobody can help anybody.
func (e *engine) stalled() {
	since := time.Now().Add(-e.opt.Stall).UnixNano()
	for r := range e.n {
		w := &e.a.rank(r).wait
		switch s := state(e.a, r); {
		case s == finalized || s == lost:
		case s != joined || w.op.Load() == opNone || w.since.Load() > since:
			return
		case r < e.me: // it has waited as long
			return // that one speaks for all
		}
	}
	e.opt.Stall = 0
	fmt.Fprintf(os.Stderr, "mpi: all ranks wait for each other:\n%s", e.report())
}
