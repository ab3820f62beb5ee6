package faultmatrix_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// Row 38: a subscriber and a publisher are stopped repeatedly while messages flow. No handler
// is cut off, every publish has an outcome, no goroutine is left, Stop keeps its time limit,
// and nothing is lost. FAULT_ROUNDS sets the number of rounds for each version.
func TestFault_38_StopUnderLoad(t *testing.T) {
	t.Parallel()
	eachVersion(t, func(h *harness) {
		const perRound, limit = 30, 10 * time.Second
		rounds := h.size("FAULT_ROUNDS", 50)
		b := h.mosquitto()
		var began, ended, cut atomic.Int64
		handle := func(ctx context.Context, _, payload string) error {
			began.Add(1)
			defer ended.Add(1)
			pause(time.Millisecond)
			if ctx.Err() != nil {
				cut.Add(1)
				return ctx.Err()
			}
			h.rec.Handled(idOf([]byte(payload)))
			return nil
		}
		subscriber := func() *subscriber {
			s := h.newSubscriber(b.URL(), "-sub")
			s.subscribe(h.name+"/data/+", handle)
			s.run()
			return s
		}
		first := subscriber() // the session exists before the first message
		if err := first.stop(limit); err != nil {
			h.Fatal(err)
		}
		feed := h.publisher(b.URL(), "-feed")
		h.eventually(func() error { return eachConnected([]*spy{feed.spy}, 1) })
		idle := h.goroutines()
		stopFeed, l := h.feed(feed, 4)

		var stops, closes spread
		left := 0
		for i := range rounds {
			s, p := subscriber(), h.publisher(b.URL(), fmt.Sprintf("-pub-%d", i))
			before := ended.Load()
			out := p.load(nil)
			out.sendAll(h.name+"/data", 1_000_000+i*perRound, perRound)
			h.eventually(func() error { return atLeast("handled in the round", int(ended.Load()-before), 20) })

			var both sync.WaitGroup
			both.Go(func() { closes = append(closes, h.timed(func() error { return p.close(limit) })) })
			stops = append(stops, h.timed(func() error { return s.stop(limit) }))
			if a, z := began.Load(), ended.Load(); a != z {
				h.Errorf("round %d: Stop returned with %d handlers running", i, a-z)
			}
			both.Wait()
			out.wait()
			if i%10 == 9 { // counting all goroutines stops the world
				h.eventually(func() error {
					if left = h.goroutines() - idle - 1; left > 0 { // the feed's own
						return fmt.Errorf("%d goroutines are left", left)
					}
					return nil
				})
			}
		}
		stopFeed()
		l.succeeded()
		subscriber()
		h.settled()
		h.figure("stop under load, subscriber", stops)
		h.figure("stop under load, publisher", closes)
		if cut.Load() > 0 {
			h.Errorf("%d handlers were cut off", cut.Load())
		}
		if typical := stops.at(0.5); typical > 2*time.Second { // exceeding the limit is an error
			h.Errorf("Stop took %v", typical)
		}
	})
}

// timed returns how long a stop took, and fails if it returns an error.
func (h *harness) timed(stop func() error) time.Duration {
	began := time.Now()
	if err := stop(); err != nil {
		h.Errorf("stop: %v", err)
	}
	return time.Since(began)
}

// feed publishes n messages every millisecond until it is stopped.
func (h *harness) feed(p *publisher, n int) (stop func(), l *load) {
	l = p.load(nil)
	l.ctx = h.Context() // without a timeout
	end, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for i := 0; ; i++ {
			select {
			case <-end:
				return
			case <-time.After(time.Millisecond):
				l.sendAll(h.name+"/data", i*n, n)
			}
		}
	}()
	return sync.OnceFunc(func() { close(end); <-ended }), l
}
