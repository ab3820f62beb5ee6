package bridge

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/tx7do/kratos-transport/broker"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/client"
)

// SubscribeSettings are what the MQTT subscribe options change.
type SubscribeSettings struct {
	QoS     byte
	Codec   string
	Timeout time.Duration
	Broad   bool // "#" and "$SYS" filters are meant
	Letters bool // what arrives are dead letters

	RetainHandling byte
	NoLocal        bool
	OrderingKey    func(event.Incoming) string // nil is the topic
	IDField        string                      // of the message, which counts over its header
	IDsSpanTopics  bool                        // ids are unique over topics
	IDScope        *client.IDScope             // of several filters; nil is one of its own

	Operation  string         // beside the topic filter
	Method     *client.Method // of generated code; nil is a subscription by hand
	Batch      *Batch         // nil handles each message by itself
	Budget     time.Duration
	MaxBackoff time.Duration
	Exhausted  event.Exhausted
	// ParkMaxAttempts is the most attempts at a parked message, 0 is no bound;
	// nil is as for the others.
	ParkMaxAttempts *int
	Reasons         map[string]event.Verdict

	OwnSession  bool   // apart from the other subscriptions
	SessionName string // of it; "" is derived

	TrustSender    bool // with trace context, baggage and metadata
	IgnoreRetained bool // messages that the broker had kept are not handled

	refuse func(context.Context, *Event, error) error // told of what cannot be decoded
}

// OnUndecodable is told of a message that cannot be decoded. Its nil error
// acknowledges the message.
func (s *SubscribeSettings) OnUndecodable(f func(ctx context.Context, e *Event, err error) error) {
	s.refuse = f
}

// SubscribeOption makes a kratos-transport option of a change to one
// subscription.
func SubscribeOption(set func(*SubscribeSettings)) broker.SubscribeOption {
	return func(o *broker.SubscribeOptions) {
		if o != nil {
			o.Context = change(o.Context, set)
		}
	}
}

func readSubscribeOptions(opts []broker.SubscribeOption) (broker.SubscribeOptions, SubscribeSettings) {
	o := broker.SubscribeOptions{AutoAck: true, MaxRetries: unset}
	s := SubscribeSettings{QoS: defaultQoS}
	c := &carrier[SubscribeSettings]{settings: &s}
	c.keep(&o.Context)
	for _, opt := range opts {
		if opt != nil {
			opt(&o)
			c.keep(&o.Context)
		}
	}
	o.Context = c.release(o.Context)
	return o, s
}

// subscription returns the engine's form of the options. Retries that are not
// set are left to the budget; an explicit 0 is a single attempt.
func subscription(filter string, o *broker.SubscribeOptions, s *SubscribeSettings) (*client.Subscription, error) {
	sub := &client.Subscription{
		Filter: filter, QoS: s.QoS, ManualAck: !o.AutoAck, Concurrency: o.Concurrency,
		Timeout: s.Timeout, Budget: s.Budget, Backoff: o.RetryDelay, MaxBackoff: s.MaxBackoff,
	}
	var err error
	sub.Exhausted = s.Exhausted
	if bad := client.CheckExhausted(s.Exhausted); bad != nil {
		err = fmt.Errorf("exhausted %q %w", s.Exhausted, bad)
	}
	if n := s.ParkMaxAttempts; n != nil {
		if *n < 0 {
			err = errors.Join(err, fmt.Errorf("%d attempts at a parked message, want 0 or more", *n))
		}
		sub.ParkMaxAttempts = client.ParkAttempts(*n)
	}
	sub.RetainHandling, sub.NoLocal = s.RetainHandling, s.NoLocal
	if key := s.OrderingKey; key != nil {
		sub.OrderingKey = func(m *client.Inbound) string { return key(incoming{m}) }
	}
	switch {
	case o.MaxRetries == unset:
		o.MaxRetries = 0
	case o.MaxRetries < 0:
		sub.MaxAttempts = o.MaxRetries // refused with the rest
	default:
		sub.MaxAttempts = o.MaxRetries + 1
	}
	return sub, err
}
