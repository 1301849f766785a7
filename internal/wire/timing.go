package wire

import (
	"errors"
	"time"

	"github.com/tutti-hpc/tutti"
)

// timing is what a link has to do when, on the link's clock; one timer serves all of it. Guarded
// by Link.mu.
type timing struct {
	timer *time.Timer
	armed int64 // when it will fire, 0 if it will not

	heard   int64 // when the peer was last heard, accurate to a tick
	pingAt  int64 // the next heartbeat
	ackAt   int64 // the latest moment for an acknowledgement, 0 if there is nothing to tell
	graceAt int64 // when a closing or ended link gives up, 0 if it does neither
	resend  bool  // a resend may become due (unreliable connections only)

	pingDue, pongDue, ackNow bool   // what the writer should write
	pong                     uint64 // the clock to give back
	srtt                     int64  // smoothed round trip
	timeouts                 int    // resends in a row without any progress
}

const (
	firstResend = int64(200 * time.Millisecond) // while the round trip is unknown
	minResend   = int64(50 * time.Millisecond)
	maxResend   = int64(2 * time.Second)
	repeatAtOne = 32 // messages that one timeout sends again
	// grace is how long the last frames of an ended link may take to get out.
	grace = int64(time.Second)
	// silentBeats is how many heartbeats may be missed before a connection is given up.
	silentBeats = 4
)

// sample takes in a measured round trip.
func (t *timing) sample(rtt int64) {
	if rtt < 0 {
		return // not our clock: a peer that makes things up
	}
	if t.srtt == 0 {
		t.srtt = max(1, rtt)
	}
	t.srtt += (rtt - t.srtt) / 8
}

// resendAfter is how long a message may stay unacknowledged; ackDelay is the peer's, about.
func (t *timing) resendAfter(ackDelay time.Duration) int64 {
	after := firstResend
	if t.srtt > 0 {
		after = min(max(2*t.srtt+2*int64(ackDelay), minResend), maxResend)
	}
	return min(after<<min(t.timeouts, 5), maxResend)
}

// gapPatience is how long what is missing may merely be late.
func (t *timing) gapPatience() int64 { return max(t.srtt, int64(time.Millisecond)) }

// startTimes begins anew with a fresh connection; mu is held.
func (l *Link) startTimes() {
	t := &l.times
	now := l.now()
	t.heard, t.pingAt = now, now+int64(l.cfg.Heartbeat)
	t.timeouts, t.resend = 0, false
	t.pingDue, t.pongDue, t.ackNow = false, false, false
	l.arm(t.pingAt)
}

// arm makes the timer fire no later than at; mu is held.
func (l *Link) arm(at int64) {
	t := &l.times
	if t.armed != 0 && t.armed <= at {
		return
	}
	t.armed = at
	t.timer.Reset(max(0, time.Duration(at-l.now())))
}

// watchResend has the timer look after what was just written; mu is held.
func (l *Link) watchResend(now int64) {
	if !l.times.resend {
		l.times.resend = true
		l.arm(now + l.times.resendAfter(l.cfg.AckDelay))
	}
}

// tick does what is due and arms the timer for the rest.
func (l *Link) tick() {
	l.mu.Lock()
	defer l.mu.Unlock()
	t, now := &l.times, l.now()
	if late := now - t.armed; t.armed != 0 && late > int64(l.cfg.Heartbeat) {
		t.heard = min(t.heard+late, now) // it was us who did not run: no fault of the peer
	}
	t.armed = 0
	l.checkHeard(now)
	l.checkGrace(now)
	if l.phase == over {
		if l.cur != nil && t.graceAt > now {
			l.arm(t.graceAt)
		}
		return
	}
	next := l.checkBeat(now)
	if t.ackAt != 0 {
		if t.ackAt <= now {
			t.ackNow = true
		} else {
			next = min(next, t.ackAt)
		}
	}
	if l.cfg.LostAfter > 0 {
		next = min(next, t.heard+int64(l.cfg.LostAfter)+1)
	}
	if t.graceAt != 0 {
		next = min(next, t.graceAt)
	}
	next = min(next, l.checkResend(now))
	if t.ackNow || t.pingDue || l.out.repeats > 0 {
		l.kick()
	}
	l.arm(next)
}

// checkHeard gives up a connection that is silent, and a peer that has been for too long.
func (l *Link) checkHeard(now int64) {
	t := &l.times
	if c := l.cur; c != nil {
		if n := c.conn.Arrived(); n != c.arrived {
			c.arrived, t.heard = n, now
		} else if now-t.heard > silentBeats*int64(l.beat) {
			c.shut(errSilent)
		}
	}
	if l.phase == over || l.cfg.LostAfter < 0 || now-t.heard <= int64(l.cfg.LostAfter) {
		return
	}
	reason := time.Duration(now - t.heard).Round(time.Millisecond).String()
	err := tutti.Errorf("link", tutti.Lost, "nothing was heard from %s for %s", l.peer.Name, reason)
	if l.cutErr != nil && l.cur == nil {
		err = tutti.Errorf("link", tutti.Lost, "nothing was heard from %s for %s: %w", l.peer.Name, reason, l.cutErr)
	}
	l.end(err, &refusal{code: refusedFenced, kind: tutti.Lost, reason: l.local.Name + " heard nothing for " + reason})
}

var errSilent = errors.New("the connection is silent")

// checkGrace ends a close that takes too long, and the connection of an ended link.
func (l *Link) checkGrace(now int64) {
	t := &l.times
	if t.graceAt == 0 || now < t.graceAt {
		return
	}
	if l.phase == over {
		if c := l.cur; c != nil {
			c.shut(l.err)
		}
		return
	}
	l.closeErr = tutti.Errorf("close link", tutti.Timeout, "%s did not take %d bytes within %v", l.peer.Name, l.out.held(), l.cfg.Linger)
	l.end(errClosedHere("link"), &refusal{kind: tutti.Lost, reason: "the peer closed before everything was delivered"})
}

// checkBeat has a heartbeat sent when it is due, and gives the time of the next.
func (l *Link) checkBeat(now int64) int64 {
	t := &l.times
	if now >= t.pingAt {
		t.pingAt = now + int64(l.cfg.Heartbeat)
		t.pingDue = true
	}
	return t.pingAt
}

// checkResend marks what has been unacknowledged for too long, and gives the time to look again.
func (l *Link) checkResend(now int64) int64 {
	t := &l.times
	never := now + int64(l.cfg.Heartbeat)
	if !t.resend || l.cur == nil {
		return never
	}
	oldest, ok := l.out.oldest()
	if !ok {
		t.resend = false
		return never
	}
	after := t.resendAfter(l.cfg.AckDelay)
	if now < oldest+after {
		return oldest + after
	}
	if l.out.repeatOld(now-after, repeatAtOne) > 0 {
		t.timeouts++
	}
	return now + t.resendAfter(l.cfg.AckDelay)
}
