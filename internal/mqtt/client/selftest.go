package client

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/logsafe"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/session"
)

const (
	// selfTestTimeout bounds the time until the acknowledgement of a message, and
	// returnTimeout the time until it arrives.
	selfTestTimeout = 10 * time.Second
	returnTimeout   = 3 * time.Second
)

var errNoReturn = errors.New("it was acknowledged and did not come back: the broker's access rules may forbid to publish it, or to read it")

// selfTest tests a client's topics at its start.
type selfTest struct {
	topics  []string
	conns   *connector
	publish func(ctx context.Context, m *Message) error
	log     logsafe.Log
	failed  atomic.Pointer[error]
}

// run sends a message to each configured topic and waits for it on a connection of its own.
// On MQTT 3.1.1 this is the only way to find out that a broker discards a publish.
func (t *selfTest) run(ctx context.Context) {
	var errs []error
	for _, name := range t.topics {
		err := t.roundTrip(ctx, name)
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("self-test: topic %q: %w", name, err))
			t.log.Error("mqtt: self-test failed", logsafe.KeyTopic, name, logsafe.KeyError, err)
		}
	}
	if err := errors.Join(errs...); err != nil {
		t.failed.Store(&err)
	}
}

func (t *selfTest) roundTrip(ctx context.Context, name string) error {
	ctx, cancel := context.WithTimeout(ctx, selfTestTimeout)
	defer cancel()
	e := &echo{payload: NewID().String(), arrived: make(chan struct{})}
	tester, err := t.conns.openReader(testerWord, e, 0)
	if err != nil {
		return err
	}
	tester.Start()
	defer closeSoon(tester)
	if err := tester.Subscribe(ctx, session.Filter{Filter: name, QoS: 1}); err != nil {
		return err
	}
	if err := t.publish(ctx, &Message{Topic: name, QoS: 1, Payload: []byte(e.payload)}); err != nil {
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

// err returns why the self-test failed; nil if it did not fail or has not ended.
func (t *selfTest) err() error {
	if err := t.failed.Load(); err != nil {
		return *err
	}
	return nil
}

// echo waits for one particular message.
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
