package faultmatrix_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/tx7do/kratos-transport/broker"
)

// The rows from 45 on test isolation: during a fault, unrelated traffic keeps at least
// 90 % of its rate and loses nothing, and the fault is named where an operator looks.

const (
	flowPace   = 10 * time.Millisecond
	flowWindow = 2 * time.Second
	flowShare  = 0.9
	flowRounds = 5
)

// flow is traffic that is unrelated to a fault: one message at a fixed pace, far below what
// the machine can do, so that a message missing in a window was delayed.
type flow struct {
	h       *harness
	p       *publisher
	topic   string
	next    int
	rounds  int // rounds with a fault
	handled atomic.Int64
	count   atomic.Bool
}

// flowFirst separates the ids of a flow from those of a row.
const flowFirst = 500_000_000

// newFlow subscribes s, which must not be running yet.
func (h *harness) newFlow(s *subscriber, opts ...broker.SubscribeOption) *flow {
	h.Helper()
	f := &flow{h: h, topic: h.name + "/flow", next: flowFirst}
	s.subscribe(f.topic+"/+", func(_ context.Context, _, payload string) error {
		h.rec.Handled(idOf([]byte(payload)))
		if f.count.Load() {
			f.handled.Add(1)
		}
		return nil
	}, opts...)
	return f
}

// window publishes for a while and returns the share of the messages that were handled by
// its end, plus a tenth of its length. Later messages do not count. If a publish blocks,
// the messages that could not be sent meanwhile count as not handled; delays of the pace
// on a busy machine count neither way.
func (f *flow) window(during func()) (share float64) {
	f.h.Helper()
	f.handled.Store(0)
	f.count.Store(true)
	beside := make(chan struct{})
	if during == nil {
		close(beside)
	} else {
		go func() { defer close(beside); during() }()
	}
	l := f.p.load(nil)
	tick := time.NewTicker(flowPace)
	defer tick.Stop()
	sent, blocked := 0, time.Duration(0)
	for end := time.Now().Add(flowWindow); time.Now().Before(end); sent++ {
		began := time.Now()
		l.send(fmt.Sprintf("%s/%d", f.topic, f.next%8), []byte(id(f.next)))
		blocked += time.Since(began)
		f.next++
		<-tick.C
	}
	for late := time.Now().Add(flowWindow / 10); f.handled.Load() < int64(sent) && time.Now().Before(late); {
		<-tick.C
	}
	handled := f.handled.Load()
	f.count.Store(false)
	<-beside
	l.succeeded()
	f.h.Logf("flow: %d sent, blocked for %v, %d handled in time", sent, blocked, handled)
	return float64(handled) / (float64(sent) + float64(blocked)/float64(flowPace))
}

// unharmed compares the flow while during causes a fault with the flow without one. On a
// busy machine it repeats the measurement, with a new fault each time: what a fault really
// delays is delayed every time.
func (f *flow) unharmed(p *publisher, during func()) {
	f.h.Helper()
	f.p = p
	for f.rounds = 1; ; f.rounds++ {
		clean, bad := f.window(nil), f.window(during)
		if clean >= flowShare && bad >= flowShare*clean {
			f.h.figure("what has nothing to do with the fault keeps", fmt.Sprintf("%.0f %%", 100*bad/clean))
			break
		}
		if f.rounds == flowRounds {
			f.h.Errorf("in %d rounds: while the fault lasts %.0f %% are handled in time, without it %.0f %%", f.rounds, 100*bad, 100*clean)
			break
		}
	}
	f.h.settled()
}
