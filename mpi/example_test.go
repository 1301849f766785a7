package mpi_test

import (
	"fmt"
	"log"

	"github.com/tutti-hpc/tutti/mpi"
)

func ExampleRun() {
	err := mpi.Run(4, func(c *mpi.Comm) error {
		x := []float64{float64(c.Rank())}
		if err := mpi.Allreduce(c, x, x, mpi.Sum); err != nil {
			return err
		}
		if c.Rank() == 0 {
			fmt.Println("sum of ranks:", x[0])
		}
		return nil
	})
	if err != nil {
		log.Fatal(err)
	}
	// Output: sum of ranks: 6
}

func ExampleSend() {
	_ = mpi.Run(2, func(c *mpi.Comm) error {
		if c.Rank() == 0 {
			return mpi.Send(c, []int32{1, 2, 3}, 1, 7)
		}
		buf := make([]int32, 10) // may be longer than the message
		st, err := mpi.Recv(c, buf, mpi.AnySource, mpi.AnyTag)
		fmt.Println(buf[:mpi.Count[int32](st)], "from", st.Source, "tag", st.Tag)
		return err
	})
	// Output: [1 2 3] from 0 tag 7
}

func ExampleComm_Split() {
	_ = mpi.Run(6, func(c *mpi.Comm) error {
		half, err := c.Split(c.Rank()%2, 0)
		if err != nil {
			return err
		}
		defer half.Free()
		all, err := mpi.GatherValue(half, fmt.Sprint("rank ", c.Rank()), 0)
		if c.Rank() == 1 { // the first of the odd ones
			fmt.Println(all)
		}
		return err
	})
	// Output: [rank 1 rank 3 rank 5]
}

func ExampleOpOf() {
	longest := mpi.OpOf(func(acc, in []int) {
		for i := range acc {
			acc[i] = max(acc[i], in[i])
		}
	}, true)
	_ = mpi.Run(3, func(c *mpi.Comm) error {
		n := []int{c.Rank() * 10}
		err := mpi.Reduce(c, n, n, longest, 0)
		if c.Rank() == 0 {
			fmt.Println(n[0])
		}
		return err
	})
	// Output: 20
}

func ExampleComm_CartShift() {
	_ = mpi.Run(3, func(c *mpi.Comm) error {
		line, err := c.CartCreate([]int{3}, nil)
		if err != nil {
			return err
		}
		from, to, err := line.CartShift(0, 1)
		if line.Rank() == 2 {
			fmt.Println("from", from, "to nobody:", to == mpi.ProcNull)
		}
		return err
	})
	// Output: from 1 to nobody: true
}

func ExampleWaitAny() {
	_ = mpi.Run(3, func(c *mpi.Comm) error {
		if c.Rank() > 0 {
			return mpi.Send(c, []int{c.Rank()}, 0, 0)
		}
		bufs, qs := [2][]int{{0}, {0}}, []*mpi.Request{}
		for r := range bufs {
			q, err := mpi.Irecv(c, bufs[r], r+1, 0)
			if err != nil {
				return err
			}
			qs = append(qs, q)
		}
		sum := 0
		for range qs {
			i, _, err := mpi.WaitAny(qs...) // whichever comes first
			if err != nil {
				return err
			}
			sum += bufs[i][0]
		}
		fmt.Println(sum)
		return nil
	})
	// Output: 3
}
