package faults_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/tx7do/kratos-transport/broker"
)

// The rows from 45 on are about isolation: while one thing is bad, whatever has
// nothing to do with it keeps at least 90 % of its rate and loses nothing, and
// the bad thing is named where an operator looks.

const (
	flowPace   = 5 * time.Millisecond
	flowWindow = 2 * time.Second
	flowShare  = 0.9
)

// flow is the traffic that has nothing to do with a fault: one message each
// pace, far below what the machine can do, so that what is missing in a window
// was held up.
type flow struct {
	h       *harness
	p       *publisher
	topic   string
	next    int
	handled atomic.Int64
	count   atomic.Bool
}

// flowFirst keeps the ids of a flow apart from those of a row.
const flowFirst = 500_000_000

// newFlow subscribes s, which must not run yet.
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

// window publishes for a while and returns how many messages were sent and how
// many were handled by the end of it. What comes late is not counted.
func (f *flow) window(during func()) (sent, handled int) {
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
	for end := time.Now().Add(flowWindow); time.Now().Before(end); sent++ {
		l.send(fmt.Sprintf("%s/%d", f.topic, f.next%8), []byte(id(f.next)))
		f.next++
		<-tick.C
	}
	handled = int(f.handled.Load())
	f.count.Store(false)
	<-beside
	l.succeeded()
	return sent, handled
}

// unharmed holds the flow while during makes a fault against the flow without
// one.
func (f *flow) unharmed(p *publisher, during func()) {
	f.h.Helper()
	f.p = p
	sent, handled := f.window(nil)
	if float64(handled) < flowShare*float64(sent) {
		f.h.Fatalf("without a fault only %d of %d messages were handled in time", handled, sent)
	}
	clean := float64(handled) / flowWindow.Seconds()
	sent, handled = f.window(during)
	bad := float64(handled) / flowWindow.Seconds()
	f.h.figure("what has nothing to do with the fault keeps", fmt.Sprintf("%.0f %% (%d of %d sent)", 100*bad/clean, handled, sent))
	if bad < flowShare*clean {
		f.h.Errorf("%.0f messages/s while the fault lasts, %.0f without", bad, clean)
	}
	f.h.settled()
}
