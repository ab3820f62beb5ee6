package engine

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/internal/engine/delivery"
	"github.com/kratos-mqtt/kratos-mqtt/internal/engine/session"
	"github.com/kratos-mqtt/kratos-mqtt/internal/engine/topic"
)

// Handler handles one message. An error, or a panic, is retried or
// dead-lettered as the subscription says; nil lets the message be
// acknowledged.
type Handler func(ctx context.Context, d *Delivery) error

// Subscription is one handler on one topic filter.
type Subscription struct {
	// Filter is the topic filter, with $share in front for a shared one.
	Filter string
	// QoS is the highest level wanted.
	QoS byte
	// Handler is required.
	Handler Handler
	// Concurrency bounds how many of this subscription's messages are handled
	// at once; 0 leaves it to the client's bound. Messages of one topic are
	// always handled one at a time, in order.
	Concurrency int
	// ManualAck leaves the acknowledgement to [Delivery.Ack] after the handler
	// returned nil.
	ManualAck bool
	// Timeout bounds one attempt; 0 is the client's setting.
	Timeout time.Duration
	// MaxAttempts is the most attempts; 0 leaves it to the budget.
	MaxAttempts int
	// Backoff is the first pause between attempts; 0 is 100 ms.
	Backoff time.Duration
	// Classify decides about an error of the handler; nil retries all.
	Classify func(error) delivery.Verdict
	// OnDeadLetter is told before a message is dead-lettered; nil is nobody.
	OnDeadLetter func(ctx context.Context, d *Delivery, cause error)

	id   uint32 // subscription identifier on MQTT 5
	flow *delivery.Attempts[*Delivery]
	lane *delivery.Lane
}

// Delivery is one message on its way through one handler.
type Delivery struct {
	*session.Inbound
	// Attempt counts from 1.
	Attempt int

	message session.Inbound // memory that Inbound may point to
	sub     *Subscription
	done    delivery.Doner
	acked   atomic.Bool
	letter  *letter // once it is a dead letter
	task    delivery.Delivery[*Delivery]
}

// Subscription gives the registration that the delivery is for.
func (d *Delivery) Subscription() *Subscription { return d.sub }

// Ack acknowledges a message of a subscription with ManualAck; otherwise, and
// when called again, it does nothing. Safe from any goroutine, also after the
// handler returned.
func (d *Delivery) Ack() {
	if d.sub.ManualAck {
		d.finish()
	}
}

func (d *Delivery) finish() {
	if d.acked.CompareAndSwap(false, true) {
		d.done.Done()
	}
}

func (s *Subscription) validate() error {
	var errs []error
	if s.Handler == nil {
		errs = append(errs, errors.New("handler is nil"))
	}
	if s.QoS > 2 {
		errs = append(errs, fmt.Errorf("QoS %d", s.QoS))
	}
	if s.Concurrency < 0 {
		errs = append(errs, fmt.Errorf("concurrency of %d", s.Concurrency))
	}
	if s.MaxAttempts < 0 {
		errs = append(errs, fmt.Errorf("%d attempts", s.MaxAttempts))
	}
	if s.Timeout < 0 || s.Backoff < 0 {
		errs = append(errs, errors.New("negative duration"))
	}
	if err := errors.Join(errs...); err != nil {
		return &Error{Op: "subscribe", Topic: s.Filter, Reason: session.ReasonBadRequest, Cause: err}
	}
	if err := topic.ValidateFilter(s.Filter); err != nil {
		return &Error{Op: "subscribe", Topic: s.Filter, Reason: session.ReasonBadTopic, Cause: err}
	}
	return nil
}
