package blob

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"

	"github.com/tutti-hpc/tutti"
	"github.com/tutti-hpc/tutti/internal/shm"
)

// messages sends and receives messages over one socket. Sending may be concurrent; receiving
// belongs to one goroutine.
type messages struct {
	conn *net.UnixConn

	wmu sync.Mutex
	out []byte

	in    []byte
	have  []byte // what of in is not yet parsed
	files []*os.File
}

func newMessages(c *net.UnixConn) *messages {
	return &messages{conn: c, in: make([]byte, 4*(messageSize+maxText))}
}

// send writes the messages with one call where none of them but the last has a descriptor. After
// an error the connection is of no use: half a message may have gone.
func (c *messages) send(ms ...*message) error {
	c.wmu.Lock()
	defer c.wmu.Unlock()
	c.out = c.out[:0]
	for _, m := range ms {
		if m.file != nil && len(c.out) > 0 { // the descriptor goes with the first byte of what is sent
			if err := shm.SendFDs(c.conn, c.out); err != nil {
				return err
			}
			c.out = c.out[:0]
		}
		c.out = m.appendTo(c.out)
		if m.file != nil {
			if err := shm.SendFDs(c.conn, c.out, m.file); err != nil {
				return err
			}
			c.out = c.out[:0]
		}
	}
	if len(c.out) == 0 {
		return nil
	}
	return shm.SendFDs(c.conn, c.out)
}

// next waits for a message; its file belongs to the caller. At the end: io.EOF.
// Errors: Corrupt, Version, and those of the socket.
func (c *messages) next() (message, error) {
	for {
		m, hasFile, n, err := parseMessage(c.have)
		if err != nil {
			return message{}, err
		}
		if n > 0 {
			c.have = c.have[n:]
			if hasFile {
				if len(c.files) == 0 {
					return message{}, tutti.Errorf("read blob message", tutti.Corrupt, "a descriptor was announced, and none came")
				}
				m.file, c.files = c.files[0], c.files[1:]
			}
			return m, nil
		}
		k := copy(c.in, c.have)
		n, files, err := shm.RecvFDs(c.conn, c.in[k:])
		c.have = c.in[:k+n]
		c.files = append(c.files, files...)
		if len(c.files) > 64 {
			return message{}, tutti.Errorf("read blob message", tutti.Corrupt, "%d descriptors came unannounced", len(c.files))
		}
		if err != nil {
			if errors.Is(err, io.EOF) && k > 0 {
				err = io.ErrUnexpectedEOF
			}
			return message{}, err
		}
	}
}

// drain closes what came and was not taken.
func (c *messages) drain() {
	for _, f := range c.files {
		f.Close()
	}
	c.files = nil
}
