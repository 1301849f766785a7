package controller

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/tutti-hpc/tutti"
	"github.com/tutti-hpc/tutti/internal/wire"
)

func piece(attempt tutti.Attempt, offset int64, text string, end bool) *wire.Output {
	return &wire.Output{
		Run: tutti.RunID{Task: tutti.MakeTaskID(7, 12), Attempt: attempt}, Stream: 1, Offset: offset, Data: []byte(text), End: end,
	}
}

// What is kept is what the newest run has printed, each byte once, whatever comes twice, late, or
// from an older run; in files and in memory alike.
func TestOutputIsTheNewestRuns(t *testing.T) {
	for _, dir := range []string{"", t.TempDir()} {
		var o outputs
		o.init(dir)
		for _, p := range []*wire.Output{
			piece(1, 0, "first try, which printed much", false),
			piece(2, 0, "sec", false), piece(2, 3, "ond", false), piece(2, 0, "second", false), // resent
			piece(1, 29, "a ghost", false),
			piece(2, 6, "!", true),
		} {
			if _, err := o.write(p); err != nil {
				t.Fatal(err)
			}
		}
		k := streamKey{tutti.MakeTaskID(7, 12), 1}
		data, from, ended, err := o.read(k, 0, 100)
		if string(data) != "second!" || from != 0 || !ended || err != nil {
			t.Errorf("in %q: %q from %d, ended %v, %v", dir, data, from, ended, err)
		}
		if data, _, _, _ := o.read(k, 6, 100); string(data) != "!" {
			t.Errorf("from 6: %q", data)
		}
		for _, bad := range []*wire.Output{{Stream: 3}, {Stream: 1, Offset: -1}} {
			if _, err := o.write(bad); tutti.KindOf(err) != tutti.Corrupt {
				t.Errorf("%+v was taken", bad)
			}
		}
		o.close()
	}
}

// Files of an earlier life are found again, and go with their tasks.
func TestOutputFilesGoWithTheirTasks(t *testing.T) {
	dir := t.TempDir()
	var o, again outputs
	o.init(dir)
	if _, err := o.write(piece(1, 0, "kept", true)); err != nil {
		t.Fatal(err)
	}
	o.close()
	again.init(dir)
	k := streamKey{tutti.MakeTaskID(7, 12), 1}
	if data, _, ended, err := again.read(k, 0, 100); string(data) != "kept" || !ended || err != nil {
		t.Errorf("%q %v %v", data, ended, err)
	}
	again.drop(k.task)
	if files, err := os.ReadDir(filepath.Join(dir, "output")); err != nil || len(files) != 0 {
		t.Error(files, err)
	}
}
