package mpi_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/tutti-hpc/tutti"
	"github.com/tutti-hpc/tutti/mpi"
)

// The first rank may be killed while it lays out the memory of the world: the next one does it again.
// What is something else stays as it is.
func TestHalfLaidOut(t *testing.T) {
	seg, err := mpi.NewSegment("")
	if err != nil {
		t.Fatal(err)
	}
	defer seg.Close()
	if err := seg.Truncate(3 * 4096); err != nil {
		t.Fatal(err)
	}
	spec := mpi.Spec{Path: fmt.Sprintf("/proc/self/fd/%d", seg.Fd()), Size: 2}
	errs := make(chan error, 2)
	for r := range 2 {
		go func() {
			s := spec
			s.Rank = r
			w, err := mpi.Join(context.Background(), s)
			if err == nil {
				err = first(sumRanks(w.Comm()), w.Finalize())
			}
			errs <- err
		}()
	}
	if err := first(<-errs, <-errs); err != nil {
		t.Fatal(err)
	}
	other, err := mpi.NewSegment("")
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if _, err := other.WriteString("not a world"); err != nil {
		t.Fatal(err)
	}
	spec.Path = fmt.Sprintf("/proc/self/fd/%d", other.Fd())
	if _, err := mpi.Join(context.Background(), spec); !errors.Is(err, tutti.Version) {
		t.Error(err)
	}
}
