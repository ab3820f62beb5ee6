package client

import (
	"context"
	"errors"
	"fmt"
	"slices"
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

// Handler handles one message. If it returns an error or panics, the message is tried again
// or dead-lettered according to the subscription; nil lets it be acknowledged.
type Handler func(ctx context.Context, d *Delivery) error

// Subscription is one handler on one topic filter.
type Subscription struct {
	// Filter is the topic filter, with $share in front for a shared one.
	Filter string
	// Session is the name of the subscription's own session, whose client id is the
	// client's with a hyphen and the name. "" means the session of all others.
	// Subscriptions with the same name share a session.
	Session string
	// SessionOf is what the name was derived from, or "" if it was set. Only subscriptions
	// with the same SessionOf share a session.
	SessionOf string
	// QoS is the highest level of quality of service that is asked for.
	QoS byte
	// Handler is required.
	Handler Handler
	// Batch passes many messages at once to a handler of its own; it may be nil.
	Batch *Batch
	// RetainHandling is when the broker sends retained messages on MQTT 5: 0 at each
	// SUBSCRIBE, 1 only if the subscription is new, 2 never.
	RetainHandling byte
	// IgnoreRetained makes retained messages be acknowledged and counted without calling
	// the handler; on MQTT 5 the broker does not send them, as with RetainHandling 2. A
	// message that is published with the retain flag while the subscription exists arrives
	// without the flag, because Retain As Published is never asked for.
	IgnoreRetained bool
	// NoLocal excludes messages that this client published, on MQTT 5. It cannot be
	// combined with a shared filter [MQTT-3.8.3-4].
	NoLocal bool
	// OrderingKey returns the key that a message is ordered by; "" means no order. The
	// read loop waits for it: all of its input is in memory, and it must not wait for
	// anything. If nil, the topic is the key.
	OrderingKey func(m *session.Inbound) string
	// Order is like OrderingKey, for a function that never panics and runs on the read
	// loop; if it returns "", the message is ordered by its topic. It is ignored if
	// OrderingKey is set.
	Order func(m *session.Inbound) string
	// Concurrency is how many of this subscription's messages are handled at a time; 0
	// means the client's bound. Messages of one topic are always handled one at a time, in
	// order.
	Concurrency int
	// ManualAck leaves the acknowledgement to [Delivery.Ack] after the handler
	// returned nil.
	ManualAck bool
	// Timeout bounds one attempt; 0 means the client's setting.
	Timeout time.Duration
	// Budget bounds the time within which attempts may start; 0 means the client's setting.
	Budget time.Duration
	// MaxAttempts is the maximum number of attempts; 0 means that only the budget bounds
	// them.
	MaxAttempts int
	// Backoff is the first pause between attempts; 0 means 100 ms.
	Backoff time.Duration
	// MaxBackoff is the longest pause; 0 means 5 s within the budget, and 30 s for messages
	// that are parked or blocked.
	MaxBackoff time.Duration
	// Classify returns the verdict for an error of the handler; nil retries every error.
	Classify func(error) event.Verdict
	// Exhausted is what happens after the last attempt; the zero value dead-letters.
	Exhausted event.Exhausted
	// Breaker pauses the subscription while its handler cannot succeed; nil means no breaker.
	Breaker *event.Breaker
	// ParkMaxAttempts is the maximum number of attempts at a parked message, including
	// those before it was parked; 0 means MaxAttempts, and a negative number means that
	// only the client's park limit bounds them.
	ParkMaxAttempts int
	// EventID returns the id of a message for its dead letter; it may be nil.
	EventID func(d *Delivery) string
	// LetterTopic returns the topic on which a dead letter is published besides being
	// stored. It takes precedence over that of the client, which nil means.
	LetterTopic func(d *Delivery) (string, error)
	// Letters marks every message as a dead letter, whatever its topic.
	Letters bool
	// OnDeadLetter is called before a message is dead-lettered; it may be nil.
	OnDeadLetter func(ctx context.Context, d *Delivery, cause error)
	// Typed is how messages are decoded; nil passes them to the handler undecoded.
	Typed *Typed

	template string // the filter with placeholders in its group; "" if it has none

	id      uint32                                        // subscription identifier on MQTT 5
	levels  int                                           // number of topic levels that access rules guard, see origin
	at      *subscriber                                   // of this run
	flow    *atomic.Pointer[delivery.Attempts[*Delivery]] // Reload replaces it
	parked  *atomic.Pointer[delivery.Attempts[*Delivery]] // the same for parked messages
	code    policy                                        // what the code says
	lane    *delivery.Lane
	backlog *parking.Backlog // nil when nothing is parked
	batch   *batcher         // nil without Batch
	breaker *breaker
	warned  bool
	mixed   bool // shared beside other filters, as logged
	capped  bool // limited to the broker's highest QoS, as logged
	late    bool // registered after Start

	consumer *consumer // nil without Typed
	release  func()    // releases its scope of ids for duplicates
}

// Delivery is one message on its way through one handler. There is one for each message
// that waits, so it is kept small.
type Delivery struct {
	envelope.Event
	// Waited is set by a handler that returned [LaterError]: the next call belongs to the
	// same attempt.
	Waited bool

	begun       bool            // the handler was called in this attempt
	alone       bool            // handled alone, by a subscription with batches
	arrived     bool            // the hooks have seen it
	acked       atomic.Bool     // Ack was called
	message     session.Inbound // memory that Inbound may point to
	sub         *Subscription
	key         string                       // from OrderingKey or Order; "" means the topic
	kept        atomic.Pointer[parking.Kept] // set while it is parked or being parked; the watchdog may read it at any time
	attemptInfo *attemptInfo                 // for hooks; nil if there is nothing to add
	task        delivery.Delivery[*Delivery]
}

// attemptInfo is what a hook receives about an attempt besides the message.
type attemptInfo struct {
	batch   int             // number of messages in the batch; this one is the first
	context context.Context // of the attempt, with its span; may be nil
}

func (d *Delivery) tells() *attemptInfo {
	if d.attemptInfo == nil {
		d.attemptInfo = new(attemptInfo)
	}
	return d.attemptInfo
}

// within notes the context of the present attempt, with its span.
func (d *Delivery) within(ctx context.Context) { d.tells().context = ctx }

// Subscription is the registration that the delivery is for; nil when no
// subscription matched.
func (d *Delivery) Subscription() *Subscription { return d.sub }

// Letters reports whether the message is a dead letter according to its topic and
// subscription. The content of the message is not considered.
func (d *Delivery) Letters() bool {
	return strings.HasPrefix(d.Topic, retained.Root) || d.sub != nil && d.sub.Letters
}

// Filter returns the topic filter of the subscription; "" if none matched, and for a
// message that another client parked the filter that it arrived with.
func (d *Delivery) Filter() string {
	switch {
	case d.sub != nil:
		return d.sub.Filter
	case d.Kept() != nil:
		return d.Kept().Letter.Filter
	}
	return ""
}

// Attempt returns the number of the attempt, from 1.
func (d *Delivery) Attempt() int { return max(1, d.Attempts(d.task.Attempt())) }

// Trusted reports whether the sender may set the context of the handler.
func (d *Delivery) Trusted() bool {
	return d.sub != nil && d.sub.consumer != nil && d.sub.consumer.trusts
}

// RequestHeader returns the header from which context may be taken, see
// [envelope.Settings.RequestHeader].
func (d *Delivery) RequestHeader() []UserProperty {
	if d.sub == nil || d.sub.consumer == nil {
		return d.Header()
	}
	return d.sub.consumer.client.Load().envelope.RequestHeader(&d.Event, d.Trusted())
}

// Headers returns the last value of each header, or nil if there are none.
func (d *Delivery) Headers() map[string]string {
	list := d.Header()
	if len(list) == 0 {
		return nil
	}
	h := make(map[string]string, len(list))
	for _, u := range list {
		h[u.Key] = u.Value
	}
	return h
}

// Info returns the description of the message that hooks receive.
func (d *Delivery) Info(attempt int) event.Delivery {
	info := event.Delivery{Filter: d.Filter(), Topic: d.Topic, QoS: d.QoS, Size: len(d.Payload), Attempt: attempt}
	if d.sub != nil && d.sub.Typed != nil {
		info.Template, info.Operation = d.sub.Typed.Template, d.sub.Typed.Operation
	}
	return info
}

// Ack acknowledges a message of a subscription with ManualAck. Without ManualAck, or when
// called again, it does nothing. It may be called from any goroutine, also after the
// handler returned.
func (d *Delivery) Ack() {
	if d.manual() {
		d.finish()
	}
}

// Await makes the message wait, after its handler returned nil, until over returns true; it
// holds no worker meanwhile. The handler calls Await on its own goroutine. over is called
// repeatedly and must not wait.
func (d *Delivery) Await(over func() bool) { d.task.Await(over) }

// manual reports whether the handler acknowledges the message.
func (d *Delivery) manual() bool { return d.sub != nil && d.sub.ManualAck }

func (d *Delivery) finish() {
	if d.acked.CompareAndSwap(false, true) {
		d.Inbound.Done()
	}
}

// Unproven says that the attempt, though it ends without an error, does not show that the
// handler works: a request was answered with its error.
func (d *Delivery) Unproven() { d.begun = false }

// First reports whether the handler receives the message for the first time.
func (d *Delivery) First() bool { return d.Attempt() <= 1 && !d.Waited }

// names returns what a subscription is known by, the best name first.
func (s *Subscription) names() []string {
	names := []string{s.Filter}
	if t := s.Typed; t != nil {
		names = []string{t.Operation, t.Topic, s.Filter}
	}
	return slices.DeleteFunc(names, func(name string) bool { return name == "" })
}

// name returns the name for people.
func (s *Subscription) name() string { return s.names()[0] }

// operation returns the operation of a generated handler, or "".
func (s *Subscription) operation() string {
	if s.Typed == nil {
		return ""
	}
	return s.Typed.Operation
}

// parkBound returns the maximum number of attempts at a parked message; 0 means no bound.
func (s *Subscription) parkBound() int {
	if s.ParkMaxAttempts == 0 {
		return s.MaxAttempts
	}
	return max(0, s.ParkMaxAttempts)
}

// parkRetries is how often and how fast a parked message is tried.
func (s *Subscription) parkRetries() parking.Retries {
	return parking.Retries{MaxAttempts: s.parkBound(), Backoff: s.Backoff, MaxBackoff: s.MaxBackoff}
}

// ignores reports whether a message is acknowledged without calling the handler.
func (s *Subscription) ignores(m *session.Inbound) bool { return s.IgnoreRetained && m.Retain }

// retainHandling returns the retain handling that the broker is asked for.
func (s *Subscription) retainHandling() byte {
	if s.IgnoreRetained {
		return retainNever
	}
	return s.RetainHandling
}

// retainNever is the retain handling with which the broker sends no retained messages.
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
	if err := checkBreaker(s.Breaker); err != nil {
		errs = append(errs, err)
	}
	if s.Session != "" {
		errs = append(errs, s.checkSession())
	}
	if s.Batch != nil {
		if s.ManualAck {
			errs = append(errs, errors.New("batches cannot be acknowledged by hand"))
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

// Shared reports whether the subscription is shared, so that other members may handle the
// next message.
func (d *Delivery) Shared() bool { return d.sub.shared() }
