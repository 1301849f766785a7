package blob_test

import (
	"context"
	"fmt"
	"net/http/httptest"
	"os"
	"strings"

	"github.com/tutti-hpc/tutti"
	"github.com/tutti-hpc/tutti/internal/blob"
	"github.com/tutti-hpc/tutti/internal/shm"
)

func temp() string {
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		panic(err)
	}
	return dir
}

// A client makes a blob, and an engine of the same node reads it through its socket.
func Example() {
	ctx := context.Background()
	dir := temp()
	defer os.RemoveAll(dir)
	store, err := blob.Open(blob.Config{Node: 3, Life: 1, Memory: 16 << 20, Spill: dir})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer store.Close()
	ref, err := blob.Put(ctx, store.As("client 1"), []byte("photons"))
	if err != nil {
		fmt.Println(err)
		return
	}

	here, there, err := shm.Socketpair()
	if err != nil {
		fmt.Println(err)
		return
	}
	served := make(chan error)
	go func() { served <- store.Serve(ctx, here, "engine 7") }()
	conn, err := shm.ConnFromFile(there) // in real life in the engine's process
	if err != nil {
		fmt.Println(err)
		return
	}
	engine := blob.Connect(conn)
	lease, err := engine.Open(ctx, ref, blob.Private) // it may write into its argument
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%v holds %q\n", ref.Blob, lease.Bytes())
	lease.Release()
	engine.Close()
	fmt.Println(<-served)

	store.DropHolder("client 1")
	_, err = store.As("client 2").Open(ctx, ref, blob.View)
	fmt.Println(err)
	// Output:
	// 3-1-1 holds "photons"
	// <nil>
	// open blob: not found: no blob 3-1-1 on node 3
}

// One node fetches from another.
func ExampleFetcher() {
	ctx := context.Background()
	dir := temp()
	defer os.RemoveAll(dir)
	there, err := blob.Open(blob.Config{Node: 1, Memory: 1 << 20, Spill: dir})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer there.Close()
	here, err := blob.Open(blob.Config{Node: 2, Memory: 1 << 20, Spill: dir})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer here.Close()
	server := httptest.NewServer(blob.Handler(there, nil))
	defer server.Close()
	ref, err := blob.Put(ctx, there.As("client 1"), []byte("photons"))
	if err != nil {
		fmt.Println(err)
		return
	}

	fetcher := blob.NewFetcher(here, blob.FetchConfig{})
	defer fetcher.Close()
	lease, err := fetcher.Fetch(ctx, "task 1.1", ref, []string{strings.TrimPrefix(server.URL, "http://")}, blob.View)
	if err != nil {
		fmt.Println(err, tutti.HintOf(err))
		return
	}
	fmt.Printf("%s\n", lease.Bytes())
	lease.Release()
	// Output: photons
}
