package journal_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"log"
	"os"

	"github.com/tutti-hpc/tutti/internal/journal"
)

// A counter that survives: its state is one number, a record adds to it.
func Example() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "counter")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)

	const add = 1 // the only type of record
	for life := range 3 {
		j, recovery, err := journal.Open(dir, journal.Config{})
		if err != nil {
			log.Fatal(err)
		}
		counter := uint64(0)
		if recovery.Snapshot != "" {
			s, err := recovery.ReadSnapshot()
			if err != nil {
				log.Fatal(err)
			}
			if err := binary.Read(s, binary.LittleEndian, &counter); err != nil {
				log.Fatal(err)
			}
			s.Close()
		}
		replayed := 0
		for rec, err := range recovery.Records() {
			if err != nil {
				log.Fatal(err)
			}
			counter += binary.LittleEndian.Uint64(rec.Data)
			replayed++
		}
		fmt.Printf("life %d begins at %d: snapshot of %d, %d records replayed\n", life, counter, recovery.From, replayed)

		for n := range uint64(4) {
			pos, err := j.Append(add, binary.LittleEndian.AppendUint64(nil, n))
			if err != nil {
				log.Fatal(err)
			}
			counter += n
			if err := j.WaitCommitted(ctx, pos); err != nil { // now it may be told
				log.Fatal(err)
			}
			if life == 1 && n == 1 {
				if err := j.Snapshot(ctx, pos, func(w io.Writer) error {
					return binary.Write(w, binary.LittleEndian, counter)
				}); err != nil {
					log.Fatal(err)
				}
			}
		}
		if err := j.Close(); err != nil {
			log.Fatal(err)
		}
	}
	// Output:
	// life 0 begins at 0: snapshot of 0, 0 records replayed
	// life 1 begins at 6: snapshot of 0, 4 records replayed
	// life 2 begins at 12: snapshot of 6, 2 records replayed
}

// A loop that may not block holds answers back until the journal has caught up.
func ExampleJournal_Progress() {
	dir, err := os.MkdirTemp("", "loop")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	j, _, err := journal.Open(dir, journal.Config{})
	if err != nil {
		log.Fatal(err)
	}
	defer j.Close()

	requests := make(chan string, 3)
	for _, name := range []string{"one", "two", "three"} {
		requests <- name
	}
	type answer struct {
		pos  journal.Pos
		text string
	}
	var held []answer
	for answered := 0; answered < 3; {
		select {
		case name := <-requests:
			pos, err := j.Append(1, []byte(name))
			if err != nil {
				log.Fatal(err)
			}
			held = append(held, answer{pos, name})
		case p := <-j.Progress():
			for len(held) > 0 && held[0].pos <= p.Committed {
				fmt.Println(held[0].text, "is safe")
				held = held[1:]
				answered++
			}
		}
	}
	// Output:
	// one is safe
	// two is safe
	// three is safe
}
