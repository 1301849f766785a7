package sched

import (
	"fmt"
	"testing"
	"time"

	"github.com/tutti-hpc/tutti"
)

// Engines that somebody stops do not come back, those that he starts again come back at once, and
// more of them are where there is most room.
func TestWishes(t *testing.T) {
	f := &Class{Program: "p", Func: "f", Target: tutti.NoEngine}
	t.Run("one leaves", func(t *testing.T) {
		st := newStage(t, Config{}).withNodes(2)
		st.play(st.tasks(2, f))
		st.want(EngineLeave{Engine: 0}, "")
		st.want(EngineDown{Engine: 0, Life: 1, Why: "stopped"}, "repeat 1.2#1")
		st.wantAfter(time.Hour, Tick{}, "")
		st.want(ended(1, 1, Succeeded), "1.1 done; 1.2#2 on 1")
		st.want(st.tasks(1, &Class{Program: "p", Target: 0}), "1.3 failed (lost)")
	})
	t.Run("an idle one leaves, with what waits for it", func(t *testing.T) {
		st := newStage(t, Config{}).withNodes(2)
		st.want(EngineLeave{Engine: 1}, "")
		st.want(st.tasks(1, &Class{Program: "p", Target: 1}), "")
		st.want(EngineDown{Engine: 1, Life: 1}, "1.1 failed (lost)")
		st.wantAfter(time.Hour, Tick{}, "")
	})
	t.Run("one that rests leaves", func(t *testing.T) {
		st := newStage(t, Config{}).withNodes(1)
		st.play(EngineDown{Engine: 0, Life: 1})
		st.want(EngineLeave{Engine: 0}, "")
		st.wantAfter(time.Hour, Tick{}, "")
	})
	t.Run("again", func(t *testing.T) {
		st := newStage(t, Config{}).withNodes(1)
		for life := uint32(1); life < 20; life++ { // however often
			st.want(EngineAgain{Engine: 0}, "")
			st.want(EngineDown{Engine: 0, Life: life}, fmt.Sprintf("start 0.%d", life+1))
		}
	})
	t.Run("more", func(t *testing.T) {
		st := newStage(t, Config{}).withNodes(2, 1)
		st.want(EnginesMore{Program: "p", N: 2}, "start 3.1; start 4.1")
		st.want(EnginesMore{Program: "q", N: 2}, "")
		st.want(EngineLeave{Engine: 0}, "")
		st.want(EngineDown{Engine: 0, Life: 1}, "")
		st.want(EnginesMore{Program: "p", N: 1}, "start 5.1")
	})
}
