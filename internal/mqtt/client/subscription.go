package client

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/delivery"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/envelope"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/parking"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/parking/retained"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/session"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/topic"
)

// Handler handles one message. An error, or a panic, is retried or
// dead-lettered as the subscription says; nil lets the message be
// acknowledged.
type Handler func(ctx context.Context, d *Delivery) error

// Subscription is one handler on one topic filter.
type Subscription struct {
	// Filter is the topic filter, with $share in front for a shared one.
	Filter string
	// Session names a session of its own, whose client id is the client's with a
	// hyphen and the name; "" is the session of all others. Subscriptions that
	// name one share it.
	Session string
	// SessionOf is what the name was derived of; "" is a name that was given. Only
	// subscriptions with equal ones share a session.
	SessionOf string
	// QoS is the highest level wanted.
	QoS byte
	// Handler is required.
	Handler Handler
	// Batch passes many messages at once to its own handler first; it may be nil.
	Batch *Batch
	// RetainHandling says when the broker sends retained messages, MQTT 5: 0 at
	// each SUBSCRIBE, 1 at a new one only, 2 never.
	RetainHandling byte
	// IgnoreRetained has messages that the broker had kept acknowledged and counted
	// instead of handled, and on MQTT 5 not sent, as RetainHandling 2 does. A message
	// that is published with the retain flag while the subscription is there comes
	// without it, because Retain As Published is never asked for.
	IgnoreRetained bool
	// NoLocal keeps our own messages away, MQTT 5. Not with a shared filter
	// [MQTT-3.8.3-4].
	NoLocal bool
	// OrderingKey returns the key that a message is ordered by; "" means no order. It
	// runs on the read loop: all of its input is in memory, and it must not wait for
	// anything. If nil, the topic is the key.
	OrderingKey func(m *session.Inbound) string
	// Order is like OrderingKey, for a function that never panics; its "" is the order
	// of the topic. It counts only without OrderingKey.
	Order func(m *session.Inbound) string
	// Concurrency bounds how many of this subscription's messages are handled
	// at once; 0 leaves it to the client's bound. Messages of one topic are
	// always handled one at a time, in order.
	Concurrency int
	// ManualAck leaves the acknowledgement to [Delivery.Ack] after the handler
	// returned nil.
	ManualAck bool
	// Timeout bounds one attempt; 0 is the client's setting.
	Timeout time.Duration
	// Budget bounds the time within which attempts may start; 0 is the client's
	// setting.
	Budget time.Duration
	// MaxAttempts is the most attempts; 0 leaves it to the budget.
	MaxAttempts int
	// Backoff is the first pause between attempts; 0 is 100 ms.
	Backoff time.Duration
	// MaxBackoff is the longest pause; 0 is 5 s within the budget and 30 s for
	// what is parked or blocked.
	MaxBackoff time.Duration
	// Classify decides about an error of the handler; nil retries all.
	Classify func(error) event.Verdict
	// Exhausted is what happens after the last attempt; 0 dead-letters.
	Exhausted event.Exhausted
	// ParkMaxAttempts is the most attempts at a parked message, those before it
	// was parked included; 0 is MaxAttempts, and less than 0 leaves it to the park
	// limit of the client.
	ParkMaxAttempts int
	// EventID returns the id of a message for its dead letter; it may be nil.
	EventID func(d *Delivery) string
	// LetterTopic names the topic that a dead letter is published on besides
	// its store, over that of the client; nil is the client's.
	LetterTopic func(d *Delivery) (string, error)
	// Letters says that what arrives are dead letters, on whatever topic.
	Letters bool
	// OnDeadLetter is called before a message is dead-lettered; it may be nil.
	OnDeadLetter func(ctx context.Context, d *Delivery, cause error)
	// Typed is how messages are decoded; nil passes them to the handler as they came.
	Typed *Typed

	id      uint32      // subscription identifier on MQTT 5
	levels  int         // of its topics that are guarded, see origin
	at      *subscriber // of this run
	flow    *delivery.Attempts[*Delivery]
	lane    *delivery.Lane
	backlog *parking.Backlog // nil when nothing is parked
	batch   *batcher         // nil without Batch
	warned  bool
	mixed   bool // beside others; told
	capped  bool // at the highest QoS of the broker; told
	late    bool // registered after Start

	consumer *consumer // nil without Typed
	release  func()    // its place among those that know duplicates
}

// Delivery is one message on its way through one handler.
type Delivery struct {
	envelope.Event
	// Front is free for the front that handles the delivery, see [Config.NewDelivery].
	Front any
	// Attempt counts from 1.
	Attempt int
	// Waited is set by a handler that returned [LaterError]: the next call is of the
	// same attempt.
	Waited bool

	begun   bool // the handler was called, in this attempt
	alone   bool // handled by itself by a subscription with batches
	acked   atomic.Bool
	message session.Inbound // memory that Inbound may point to
	sub     *Subscription
	done    delivery.Doner
	key     string        // of OrderingKey or Order; else the topic counts
	before  int           // attempts that an earlier delivery made; the watchdog reads it at any time
	kept    *parking.Kept // by the store, or about to be
	task    delivery.Delivery[*Delivery]
}

// Subscription is the registration that the delivery is for; nil when no
// subscription matched.
func (d *Delivery) Subscription() *Subscription { return d.sub }

// Letters reports whether the message is a dead letter as far as its topic and its
// subscription tell, whatever it says of itself: it is on a topic for them.
func (d *Delivery) Letters() bool {
	return strings.HasPrefix(d.Topic, retained.Root) || d.sub != nil && d.sub.Letters
}

// Filter is the topic filter of the subscription; "" when none matched, and of a
// letter that somebody else parked the one that it came with.
func (d *Delivery) Filter() string {
	switch {
	case d.sub != nil:
		return d.sub.Filter
	case d.kept != nil:
		return d.kept.Letter.Filter
	}
	return ""
}

// Info returns the description of the message that hooks receive.
func (d *Delivery) Info(attempt int) event.Delivery {
	return event.Delivery{Filter: d.Filter(), Topic: d.Topic, QoS: d.QoS, Size: len(d.Payload), Attempt: attempt}
}

// Ack acknowledges a message of a subscription with ManualAck; otherwise, and
// when called again, it does nothing. Safe from any goroutine, also after the
// handler returned.
func (d *Delivery) Ack() {
	if d.manual() {
		d.finish()
	}
}

// Await has the message wait, after its handler returned nil, until over returns
// true, while it holds no worker. The handler calls it on its own goroutine; over is
// called again and again, and must not wait.
func (d *Delivery) Await(over func() bool) { d.task.Await(over) }

// manual reports whether the handler acknowledges.
func (d *Delivery) manual() bool { return d.sub != nil && d.sub.ManualAck }

func (d *Delivery) finish() {
	if d.acked.CompareAndSwap(false, true) {
		d.done.Done()
	}
}

// First reports whether the handler has the message for the first time.
func (d *Delivery) First() bool { return d.Attempt <= 1 && !d.Waited }

// parkBound is the most attempts at a parked message; 0 is no bound.
func (s *Subscription) parkBound() int {
	if s.ParkMaxAttempts == 0 {
		return s.MaxAttempts
	}
	return max(0, s.ParkMaxAttempts)
}

// ignores reports whether a message is acknowledged without the handler.
func (s *Subscription) ignores(m *session.Inbound) bool { return s.IgnoreRetained && m.Retain }

// retainHandling is what the subscription wants of the broker.
func (s *Subscription) retainHandling() byte {
	if s.IgnoreRetained {
		return retainNever
	}
	return s.RetainHandling
}

// retainNever has the broker send no retained messages.
const retainNever = 2

func (s *Subscription) shared() bool { return topic.IsShared(s.Filter) }

func (s *Subscription) validate() error {
	var errs []error
	if s.Handler == nil {
		errs = append(errs, errors.New("handler is nil"))
	}
	if s.QoS > 2 {
		errs = append(errs, fmt.Errorf("QoS %d", s.QoS))
	}
	if s.RetainHandling > 2 {
		errs = append(errs, fmt.Errorf("retain handling %d, want 0, 1 or 2", s.RetainHandling))
	}
	if s.NoLocal && s.shared() {
		errs = append(errs, errors.New("no-local with a shared subscription [MQTT-3.8.3-4]"))
	}
	if s.Concurrency < 0 {
		errs = append(errs, fmt.Errorf("concurrency of %d", s.Concurrency))
	}
	if s.MaxAttempts < 0 {
		errs = append(errs, fmt.Errorf("%d attempts", s.MaxAttempts))
	}
	if s.Timeout < 0 || s.Budget < 0 || s.Backoff < 0 || s.MaxBackoff < 0 {
		errs = append(errs, errors.New("negative duration"))
	}
	if s.MaxBackoff > 0 && s.Backoff > s.MaxBackoff {
		errs = append(errs, fmt.Errorf("first pause of %v is above the longest of %v", s.Backoff, s.MaxBackoff))
	}
	if s.Session != "" {
		errs = append(errs, s.checkSession())
	}
	if s.Batch != nil {
		if s.ManualAck {
			errs = append(errs, errors.New("batches are not acknowledged by hand"))
		}
		errs = append(errs, s.Batch.validate())
	}
	if err := errors.Join(errs...); err != nil {
		return &event.Error{Op: "subscribe", Topic: s.Filter, Reason: event.ReasonBadRequest, Cause: err}
	}
	if err := topic.ValidateFilter(s.Filter); err != nil {
		return &event.Error{Op: "subscribe", Topic: s.Filter, Reason: event.ReasonBadTopic, Cause: err}
	}
	return nil
}

// Shared says that the subscription is, so that others may handle what is next.
func (d *Delivery) Shared() bool { return d.sub.shared() }
