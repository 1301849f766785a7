package cluster

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net"
	"os"

	"github.com/tutti-hpc/tutti"
	"github.com/tutti-hpc/tutti/internal/blob"
	"github.com/tutti-hpc/tutti/internal/wire"
)

// Dial joins a detached cluster of this user by name ("" is [DefaultName]). The program brings its
// own binary along: its engines are started from it, on every node.
func Dial(ctx context.Context, name string, opts ...tutti.Option) (*Client, error) {
	return dial(ctx, name, tutti.Apply(opts...))
}

func dial(ctx context.Context, name string, s *tutti.Settings) (*Client, error) {
	p, err := OpenProfile(name)
	if err != nil {
		return nil, err
	}
	d, err := p.Door()
	if err != nil {
		return nil, err
	}
	d.Warn = warnTo(s)
	d.Keep, _ = s.Get(keepKey{}).(bool)
	data := &plane{}
	var ends ending
	if space, _, err := p.LocalBlobs(); err == nil {
		data.space = space
		ends.add(func() { space.Close() })
	}
	d.Data = data
	if d.Want, err = ownProgram(ctx, data.space, ends.add); err != nil {
		ends.run()
		return nil, err
	}
	d.Want.PerNode, _ = s.Get(enginesKey{}).(int)
	c, err := Join(ctx, d)
	if err != nil {
		ends.run()
		return nil, err
	}
	data.c = c
	c.onEnd = ends
	return c, nil
}

// Door is how a client of this user comes to the cluster.
func (p *Profile) Door() (Door, error) {
	network, addr, err := p.door(wire.RoleClient)
	return Door{Network: network, Addr: addr, Again: true}, err
}

// LocalBlobs connects to the blob store of the agent on this host, and says at which socket others
// find it. Kind NotFound where there is no agent.
func (p *Profile) LocalBlobs() (store *blob.Local, socket string, err error) {
	socket = p.AgentSocket()
	conn, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: socket, Net: "unix"})
	if err != nil {
		return nil, "", tutti.E("join cluster", tutti.KindOf(err), err)
	}
	return blob.Connect(conn), socket, nil
}

// ownProgram describes this program's binary: by the hash of its content, where it lies, and, for
// hosts that do not have it, as a blob.
func ownProgram(ctx context.Context, space blob.Space, atEnd func(func())) (wire.Want, error) {
	exe, err := os.Executable()
	if err != nil {
		return wire.Want{}, tutti.E("join cluster", tutti.NotFound, err)
	}
	f, err := os.Open(exe)
	if err != nil {
		return wire.Want{}, tutti.E("join cluster", tutti.KindOf(err), err)
	}
	defer f.Close()
	content, err := io.ReadAll(f)
	if err != nil {
		return wire.Want{}, tutti.E("join cluster", tutti.KindOf(err), err)
	}
	host, _ := os.Hostname()
	sum := sha256.Sum256(content)
	spec := wire.ProgramSpec{Name: "go:" + hex.EncodeToString(sum[:]), Path: exe, Host: host}
	if space != nil {
		ref, err := blob.Put(ctx, space, content)
		if err != nil {
			return wire.Want{}, err
		}
		spec.Bin = ref
		atEnd(func() { space.Drop(ref) })
	}
	return wire.Want{Spec: spec}, nil
}
