package controller

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/tutti-hpc/tutti"
	"github.com/tutti-hpc/tutti/internal/wire"
)

// outputKept bounds what is kept in memory of one task's stream; files have no bound.
const outputKept = 1 << 20

// outputs keeps what tasks have printed: in files if the controller has a folder, else the last
// part in memory.
type outputs struct {
	dir     string
	streams map[streamKey]*stream
}

type streamKey struct {
	task   tutti.TaskID
	number uint8 // 1 stdout, 2 stderr
}

// stream is one stream of a task's newest run.
type stream struct {
	attempt tutti.Attempt
	data    []byte   // the last part, without a folder
	end     int64    // bytes printed so far
	file    *os.File // with a folder
	ended   bool
	anew    bool // its file, if there is one, is an older run's
}

// init finds the files of an earlier life, so that they are dropped with their tasks.
func (o *outputs) init(dir string) {
	o.streams = map[streamKey]*stream{}
	if dir == "" {
		return
	}
	o.dir = filepath.Join(dir, "output")
	files, _ := os.ReadDir(o.dir) // none at the first start
	for _, f := range files {
		ext := filepath.Ext(f.Name())
		number := uint8(1)
		if ext == ".err" {
			number = 2
		}
		if id, err := tutti.ParseTaskID(strings.TrimSuffix(f.Name(), ext)); err == nil {
			o.streams[streamKey{id, number}] = &stream{ended: true}
		}
	}
}

// path is the file of a stream: "7.12.out".
func (o *outputs) path(k streamKey) string {
	return filepath.Join(o.dir, fmt.Sprintf("%v.%s", k.task, [...]string{1: "out", 2: "err"}[k.number]))
}

// write keeps a piece. Pieces of an older run are dropped; a newer run starts the stream again.
// A piece that comes twice is written to the same place. news is what of it had not come before.
func (o *outputs) write(m *wire.Output) (news []byte, err error) {
	if m.Stream != 1 && m.Stream != 2 || m.Offset < 0 {
		return nil, tutti.Errorf("keep output", tutti.Corrupt, "stream %d, offset %d", m.Stream, m.Offset)
	}
	k := streamKey{m.Run.Task, m.Stream}
	s := o.streams[k]
	if s != nil && s.attempt > m.Run.Attempt {
		return nil, nil
	}
	if s == nil || s.attempt < m.Run.Attempt {
		s.close()
		s = &stream{attempt: m.Run.Attempt, anew: m.Offset == 0}
		o.streams[k] = s
	}
	s.ended = s.ended || m.End
	if end := m.Offset + int64(len(m.Data)); end > s.end {
		news = m.Data[min(max(s.end-m.Offset, 0), int64(len(m.Data))):]
	}
	if o.dir == "" {
		if m.Offset <= s.end && m.Offset+int64(len(m.Data)) > s.end {
			s.data = append(s.data, m.Data[s.end-m.Offset:]...)
			s.end = m.Offset + int64(len(m.Data))
			if len(s.data) > 2*outputKept {
				s.data = append(s.data[:0], s.data[len(s.data)-outputKept:]...)
			}
		}
		return news, nil
	}
	return news, o.writeFile(k, s, m)
}

func (o *outputs) writeFile(k streamKey, s *stream, m *wire.Output) error {
	if s.file == nil {
		if err := os.MkdirAll(o.dir, 0o700); err != nil {
			return tutti.E("keep output", tutti.KindOf(err), err)
		}
		flags := os.O_CREATE | os.O_RDWR
		if s.anew {
			flags |= os.O_TRUNC
		}
		s.anew = false
		f, err := os.OpenFile(o.path(k), flags, 0o600)
		if err != nil {
			return tutti.E("keep output", tutti.KindOf(err), err)
		}
		s.file = f
	}
	_, err := s.file.WriteAt(m.Data, m.Offset)
	s.end = max(s.end, m.Offset+int64(len(m.Data)))
	if s.ended {
		s.close()
	}
	if err != nil {
		return tutti.E("keep output", tutti.KindOf(err), err)
	}
	return nil
}

func (s *stream) close() {
	if s != nil && s.file != nil {
		s.file.Close()
		s.file = nil
	}
}

// read gives what is kept from offset on, at most n bytes, and where that begins: later than
// asked for if the beginning was let go. ended tells that nothing will follow.
func (o *outputs) read(k streamKey, offset int64, n int) (data []byte, from int64, ended bool, err error) {
	s := o.streams[k]
	if o.dir == "" {
		if s == nil {
			return nil, offset, false, nil
		}
		from = min(max(offset, s.end-int64(len(s.data))), s.end)
		data = s.data[int64(len(s.data))-(s.end-from):]
		return data[:min(n, len(data))], from, s.ended && len(data) <= n, nil
	}
	f, err := os.Open(o.path(k))
	if os.IsNotExist(err) {
		return nil, offset, s != nil && s.ended, nil
	}
	if err != nil {
		return nil, offset, false, tutti.E("read output", tutti.KindOf(err), err)
	}
	defer f.Close()
	data = make([]byte, n)
	got, err := f.ReadAt(data, offset)
	if got > 0 || err.Error() == "EOF" {
		err = nil
	}
	return data[:got], offset, got < n && s != nil && s.ended, err // after a restart only the task's own end tells
}

// drop forgets a task's output.
func (o *outputs) drop(id tutti.TaskID) {
	for n := uint8(1); n <= 2; n++ {
		k := streamKey{id, n}
		if s := o.streams[k]; s != nil {
			s.close()
			delete(o.streams, k)
			if o.dir != "" {
				_ = os.Remove(o.path(k)) // a stream that printed nothing has none
			}
		}
	}
}

// close closes the files.
func (o *outputs) close() {
	for _, s := range o.streams {
		s.close()
	}
}

var streamNames = [...]string{1: "stdout", 2: "stderr"}

// output takes in what a run has printed.
func (c *Controller) output(a *agent, m *wire.Output) {
	r := c.record(m.Run.Task)
	if r == nil {
		c.credit(a.node, m.Run, len(m.Data))
		return
	}
	news, err := c.outputs.write(m)
	if err != nil {
		c.cfg.Log.Warn("output not kept", "task", m.Run.Task, "err", err)
	}
	if r.work.work.Echo && len(m.Data) > 0 {
		part := *m
		part.Data = news
		c.hear(heard{wire.KindOutput, &part, a.node, m.Run, len(m.Data)})
	}
	if len(m.Data) > 0 && (m.Stream == 1 || m.Stream == 2) {
		c.publish(tutti.Event{
			Kind: tutti.TaskOutput, Task: m.Run.Task, Attempt: m.Run.Attempt, Engine: tutti.NoEngine,
			Node: a.node, Count: len(m.Data), Text: streamNames[m.Stream], Data: m.Data[:min(len(m.Data), 4<<10)],
		})
	}
}

// display takes in something to show.
func (c *Controller) display(a *agent, m *wire.Display) {
	if r := c.record(m.Run.Task); r != nil && r.work.work.Echo {
		c.hear(heard{wire.KindDisplay, m, a.node, m.Run, len(m.Value.Data)})
	}
	c.publish(tutti.Event{
		Kind: tutti.TaskDisplay, Task: m.Run.Task, Attempt: m.Run.Attempt, Engine: m.Engine, Node: a.node,
		Text: m.MIME, Data: m.Value.Data, Ref: m.Value.Ref,
	})
}
