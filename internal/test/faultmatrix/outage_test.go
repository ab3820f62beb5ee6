package faultmatrix_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	v1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/v1"
	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/event/deadletter"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
	testbroker "github.com/kratos-mqtt/kratos-mqtt/mqtttest/broker"
)

// The rows from 82 on make something fail that handlers need. A breaker pauses their
// subscription meanwhile: at most maxTries attempts, no dead letter, nothing lost.

const (
	usualOutage = 6 * time.Second
	maxTries    = 20
	// trialsOfOutage is the length of an outage in pauses of the breaker. The default pause
	// of 5 s has as many in a minute.
	trialsOfOutage = 12
	// outagePace is the time between two messages.
	outagePace = 20 * time.Millisecond
	// fullRate is within what time after the first success the subscription has its rate
	// again.
	fullRate = 2 * time.Second
)

// outageTime returns the length of an outage; FAULT_OUTAGE sets it.
func (h *harness) outageTime() time.Duration {
	h.Helper()
	v := os.Getenv("FAULT_OUTAGE")
	if v == "" {
		return usualOutage
	}
	d, err := time.ParseDuration(v)
	if err != nil {
		h.Fatalf("FAULT_OUTAGE: %v", err)
	}
	return d
}

// need is what handlers need and can be without.
type need interface {
	use(ctx context.Context, id string) error
	down()
	up()
	// ids returns the ids of the uses that had an effect.
	ids() []string
}

// outage has a subscriber whose handler needs something that fails for a while. timeout is that of
// the handler; 0 is the default.
func (h *harness) outage(n need, timeout time.Duration) {
	length := h.outageTime()
	b := mqtttest.InProcess(h, testbroker.MaxQueued(100_000))
	store := deadletter.NewMemory(0)
	filter := h.name + "/data/+"
	var tries, handled atomic.Int64
	own := &v1.Subscription{Session: "own"}
	if timeout > 0 {
		own.HandlerTimeout = durationpb.New(timeout)
	}
	s := h.newSubscriber(b.URL(), "-sub", mqttbroker.WithDeadLetters(store),
		mqttbroker.WithBreaker(event.Breaker{Failures: event.DefaultBreakerFailures, Pause: length / trialsOfOutage}),
		mqttbroker.WithSubscriberConfig(&v1.Subscriber{Subscriptions: map[string]*v1.Subscription{filter: own}}))
	s.subscribe(filter, func(ctx context.Context, _, payload string) error {
		tries.Add(1)
		if err := n.use(ctx, idOf([]byte(payload))); err != nil {
			return err
		}
		handled.Add(1)
		return nil
	})
	s.run()
	l := h.publisher(b.URL(), "-pub").load(nil)
	sent := 0
	send := func(d time.Duration) {
		tick := time.NewTicker(outagePace)
		defer tick.Stop()
		for end := time.Now().Add(d); time.Now().Before(end); <-tick.C {
			l.sendAll(h.name+"/data", sent, 1)
			sent++
		}
	}
	send(time.Second)
	h.eventually(func() error { return atLeast("handled", int(handled.Load()), sent) })
	n.down()
	before := tries.Load()
	send(length)
	made := tries.Load() - before
	p := s.health().Pauses
	done, backlog := int(handled.Load()), sent-int(handled.Load())
	n.up()
	back := time.Now()
	h.eventually(func() error { return atLeast("handled", int(handled.Load()), done+1) })
	first := time.Since(back)
	h.eventually(func() error { return atLeast("handled", int(handled.Load()), done+1+int(time.Second/outagePace)) })
	rate := time.Since(back) - first
	h.eventually(func() error { return atLeast("handled", int(handled.Load()), sent) })
	drained := time.Since(back) - first
	send(time.Second)
	l.succeeded()
	h.eventually(func() error { return atLeast("handled", int(handled.Load()), sent) })

	h.figure(fmt.Sprintf("attempts while a dependency is down for %v", length), made)
	h.figure("after the end of the outage", fmt.Sprintf("%v until an attempt succeeds, then %v for as many messages as arrive in a second, and %v for the backlog of %d",
		first.Round(time.Millisecond), rate.Round(time.Millisecond), drained.Round(time.Millisecond), backlog))
	if made > maxTries {
		h.Errorf("%d attempts during the outage, want at most %d", made, maxTries)
	}
	if len(p) != 1 || p[0].Name != filter || p[0].State == event.PausedByHand || p[0].LastError == "" {
		h.Errorf("Health has %+v", p)
	}
	if d := length/trialsOfOutage + slack; first > d {
		h.Errorf("handled again after %v, want %v", first, d)
	}
	if rate > fullRate {
		h.Errorf("as many messages as arrive in a second took %v, want %v", rate, fullRate)
	}
	if letters := h.lettersIn(store, deadletter.Dead); len(letters) > 0 {
		h.Errorf("%d dead letters, first: %s", len(letters), letters[0].Reason)
	}
	for _, id := range n.ids() {
		h.rec.Handled(id)
	}
	if rep := h.settled(); rep.Handled != sent {
		h.Errorf("%d of %d had an effect", rep.Handled, sent)
	}
	h.eventually(func() error {
		if p := s.health().Pauses; len(p) > 0 {
			return fmt.Errorf("still paused: %+v", p)
		}
		return nil
	})
	if n := b.Dropped(); n > 0 {
		h.Errorf("the broker dropped %d", n)
	}
}

var errDown = errors.New("connection refused")
