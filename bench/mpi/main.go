// Command mpi measures message passing between the ranks of one machine. It prints lines of
// operation, ranks, bytes, median, minimum, maximum and unit, as the C program beside it does for
// the MPI library it is built with, so that rotate.py can compare them.
//
//	mpi -n 2 pp        point to point
//	mpi -n 2 bw        a stream of messages in one direction
//	mpi -n 2 coll      collective operations
//	mpi -n 2 all
//	mpiexec -n 2 mpi -under all
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"os"
	"slices"
	"strconv"
	"time"

	"github.com/tutti-hpc/tutti/internal/launch"
	"github.com/tutti-hpc/tutti/mpi"
)

var (
	ranks = flag.Int("n", 2, "ranks")
	reps  = flag.Int("reps", 9, "repetitions of each case; the median counts")
	under = flag.Bool("under", false, "be a rank of the launcher that started this process, an mpiexec")
	scale = 1.0
)

func main() {
	flag.Parse()
	if v, err := strconv.ParseFloat(os.Getenv("MPIBENCH_SCALE"), 64); err == nil {
		scale = v
	}
	if os.Getenv(mpi.EnvSegment) == "" && !*under {
		exit, err := launch.Ranks(context.Background(), launch.Spec{
			Programs: []launch.Program{{N: *ranks, Args: append([]string{"/proc/self/exe"}, os.Args[1:]...)}},
			Stdout:   os.Stdout, Stderr: os.Stderr,
		})
		if err != nil {
			log.Fatal(err)
		}
		os.Exit(exit.Code)
	}
	c, err := mpi.Init(context.Background())
	if err != nil {
		log.Fatal(err)
	}
	b := &bench{c: c, send: make([]float64, 2<<20), recv: make([]float64, 2<<20)}
	for i := range b.send {
		b.send[i], b.recv[i] = 1+float64(c.Rank()), 2
	}
	what := flag.Arg(0)
	for _, part := range []struct {
		name string
		run  func()
	}{{"pp", b.pingpong}, {"bw", b.stream}, {"coll", b.collective}} {
		if what == part.name || what == "all" || what == "" {
			part.run()
		}
	}
	if err := mpi.Finalize(); err != nil {
		log.Fatal(err)
	}
}

type bench struct {
	c          *mpi.Comm
	send, recv []float64
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

func checked[T any](_ T, err error) { check(err) }

// iterations are as many as in the C program.
func iterations(bytes int) int {
	n := 40
	switch {
	case bytes <= 1024:
		n = 20000
	case bytes <= 65536:
		n = 4000
	case bytes <= 1<<20:
		n = 400
	}
	return max(4, int(float64(n)*scale))
}

// measure runs f *reps times, and once before to warm up, and reports what value makes of the
// seconds it took.
func (b *bench) measure(op string, bytes int, unit string, value func(seconds float64) float64, f func()) {
	var ts []float64
	for r := -1; r < *reps; r++ {
		check(b.c.Barrier())
		t := time.Now()
		f()
		if r >= 0 {
			ts = append(ts, value(time.Since(t).Seconds()))
		}
	}
	slices.Sort(ts)
	if b.c.Rank() == 0 {
		fmt.Printf("%s\t%d\t%d\t%.3f\t%.3f\t%.3f\t%s\n", op, b.c.Size(), bytes, ts[len(ts)/2], ts[0], ts[len(ts)-1], unit)
	}
}

func micros(n int) func(float64) float64 {
	return func(s float64) float64 { return s / float64(n) * 1e6 }
}

func (b *bench) pingpong() {
	for _, bytes := range []int{0, 8, 1024, 8192, 65536, 1 << 20, 16 << 20} {
		n, s, r := iterations(bytes), b.send[:bytes/8], b.recv[:bytes/8]
		b.measure("pingpong", bytes, "us_oneway", micros(2*n), func() {
			for range n {
				switch b.c.Rank() {
				case 0:
					check(mpi.Send(b.c, s, 1, 7))
					checked(mpi.Recv(b.c, r, 1, 7))
				case 1:
					checked(mpi.Recv(b.c, r, 0, 7))
					check(mpi.Send(b.c, s, 0, 7))
				}
			}
		})
	}
}

func (b *bench) stream() {
	for _, bytes := range []int{8, 1024, 65536, 1 << 20, 16 << 20} {
		n, w := max(2, iterations(bytes)/20), 64
		if bytes >= 16<<20 {
			w = 8
		}
		rate := func(s float64) float64 { return float64(bytes*n*w) / s / 1e6 }
		b.measure("stream", bytes, "MB/s", rate, func() {
			for range n {
				b.burst(w, bytes/8)
			}
		})
	}
}

func (b *bench) burst(w, elems int) {
	qs := make([]*mpi.Request, w)
	ack := make([]int32, 1)
	switch b.c.Rank() {
	case 0:
		for i := range qs {
			q, err := mpi.Isend(b.c, b.send[:elems], 1, 9)
			check(err)
			qs[i] = q
		}
		checked(mpi.WaitAll(qs...))
		checked(mpi.Recv(b.c, ack, 1, 10))
	case 1:
		for i := range qs {
			q, err := mpi.Irecv(b.c, b.recv[:elems], 0, 9)
			check(err)
			qs[i] = q
		}
		checked(mpi.WaitAll(qs...))
		check(mpi.Send(b.c, ack, 0, 10))
	}
}

func (b *bench) collective() {
	repeat := func(op string, bytes, n int, f func()) {
		b.measure(op, bytes, "us", micros(n), func() {
			for range n {
				f()
			}
		})
	}
	repeat("barrier", 0, iterations(8), func() { check(b.c.Barrier()) })
	for _, bytes := range []int{8, 1024, 65536, 1 << 20} {
		s, r := b.send[:bytes/8], b.recv[:bytes/8]
		repeat("allreduce_sum_f64", bytes, max(1, iterations(bytes)/2), func() { check(mpi.Allreduce(b.c, s, r, mpi.Sum)) })
	}
	for _, bytes := range []int{8, 65536, 1 << 20} {
		s := b.send[:bytes/8]
		repeat("bcast_plus_barrier", bytes, max(1, iterations(bytes)/2), func() {
			check(mpi.Bcast(b.c, s, 0))
			check(b.c.Barrier())
		})
	}
	for _, bytes := range []int{8, 1024, 65536, 1 << 20} { // bytes for each peer
		k := bytes / 8 * b.c.Size()
		if k > len(b.send) {
			break
		}
		s, r := b.send[:k], b.recv[:k]
		repeat("alltoall", bytes, max(1, iterations(bytes)/2), func() { check(mpi.Alltoall(b.c, s, r)) })
	}
}
