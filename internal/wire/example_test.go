package wire_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"slices"

	"github.com/tutti-hpc/tutti"
	"github.com/tutti-hpc/tutti/internal/wire"
)

func Example() {
	ctx := context.Background()
	network := wire.NewMemory(1)
	ln, err := network.Listen(ctx, "controller")
	if err != nil {
		log.Fatal(err)
	}
	server := wire.Serve(ln, wire.ServerConfig{Hello: wire.Hello{Name: "controller", Epoch: 4}})
	defer server.Close()
	go func() {
		link, err := server.Accept(ctx)
		if err != nil {
			return
		}
		for {
			m, err := link.Recv(ctx)
			if err != nil {
				return // closed by the client
			}
			_ = link.Send(ctx, wire.Message{Kind: m.Kind + 1, Payload: slices.Concat(m.Payload, []byte(" yourself"))})
		}
	}()

	link, err := wire.Connect(ctx, network, "controller", wire.Hello{Role: wire.RoleClient, Name: "me"}, wire.LinkConfig{})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("linked to", link.Peer().Name, "in its life", link.Peer().Epoch)
	if err := link.Send(ctx, wire.Message{Kind: 1, Payload: []byte("hello")}); err != nil {
		log.Fatal(err)
	}
	network.CutAll() // nobody notices
	answer, err := link.Recv(ctx)
	fmt.Println(answer.Kind, string(answer.Payload), err)
	fmt.Println(link.Close())
	fmt.Println(errors.Is(link.Send(ctx, answer), tutti.Closed))
	// Output:
	// linked to controller in its life 4
	// 2 hello yourself <nil>
	// <nil>
	// true
}
