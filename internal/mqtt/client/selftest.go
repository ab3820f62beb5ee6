package client

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/session"
)

const (
	// testerSuffix makes the client id of the connection that self-tests read on.
	testerSuffix = "-test"
	// selfTestTimeout bounds what precedes the acknowledgement of a message, and
	// returnTimeout its way back.
	selfTestTimeout = 10 * time.Second
	returnTimeout   = 3 * time.Second
)

var errNoReturn = errors.New("it was acknowledged and did not come back: the broker's access rules may forbid to publish it, or to read it")

// selfTest sends a message to each topic that is named for it, and waits for it
// on a connection of its own. On MQTT 3.1.1 a broker has no other way to tell
// of a publish that it throws away.
func (r *run) selfTest(ctx context.Context) {
	if r.main().WaitReady(ctx) != nil {
		return
	}
	var errs []error
	for _, name := range r.client.cfg.SelfTest {
		err := r.roundTrip(ctx, name)
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("self-test: topic %q: %w", name, err))
			r.client.log.Errorf("mqtt: %v", errs[len(errs)-1])
		}
	}
	if err := errors.Join(errs...); err != nil {
		r.selfTested.Store(&err)
	}
}

func (r *run) roundTrip(ctx context.Context, name string) error {
	ctx, cancel := context.WithTimeout(ctx, selfTestTimeout)
	defer cancel()
	c := &r.client.cfg
	e := &echo{payload: NewID().String(), arrived: make(chan struct{})}
	cfg := c.session(r.id + c.PublisherSuffix + testerSuffix)
	cfg.Negotiation, cfg.Sink, cfg.CleanSession, cfg.SessionExpiry = r.version, e, true, 0
	tester, err := session.New(cfg)
	if err != nil {
		return err
	}
	tester.Start()
	defer func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		tester.Close(ctx)
	}()
	if err := tester.Subscribe(ctx, session.Filter{Filter: name, QoS: 1}); err != nil {
		return err
	}
	if err := r.pubs.of(name).Publish(ctx, &Message{Topic: name, QoS: 1, Payload: []byte(e.payload)}); err != nil {
		return err
	}
	late := time.NewTimer(returnTimeout)
	defer late.Stop()
	select {
	case <-e.arrived:
		return nil
	case <-late.C:
		return errNoReturn
	case <-ctx.Done():
		return ctx.Err()
	}
}

// selfTestError is why the self-test failed; nil without one, and before its
// end.
func (r *run) selfTestError() error {
	if err := r.selfTested.Load(); err != nil {
		return *err
	}
	return nil
}

// echo waits for one message among others.
type echo struct {
	payload string
	arrived chan struct{}
	seen    atomic.Bool
}

var _ session.Sink = (*echo)(nil)

// New implements [session.Sink].
func (*echo) New(topic []byte, _ byte, _ int) *session.Inbound {
	return &session.Inbound{Topic: string(topic)}
}

// Deliver implements [session.Sink].
func (e *echo) Deliver(m *session.Inbound) {
	if string(m.Payload) == e.payload && e.seen.CompareAndSwap(false, true) {
		close(e.arrived)
	}
	m.Done()
}

// Batch implements [session.Sink].
func (*echo) Batch() {}
