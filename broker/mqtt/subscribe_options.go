package mqtt

import (
	"errors"
	"fmt"
	"math"

	"github.com/tx7do/kratos-transport/broker"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/client"
)

// subscribeCall are the settings of one Subscribe.
type subscribeCall struct {
	client.Subscription
	typed   client.Typed
	generic broker.SubscribeOptions

	codec string // "" is the broker's
	broad bool   // "#" and "$SYS" filters are meant
	// parkMaxAttempts is the most attempts at a parked message, 0 is no bound; nil is
	// as for the others.
	parkMaxAttempts *int
}

// subscribing makes a kratos-transport option of a change to one subscription.
func subscribing(set func(*subscribeCall)) broker.SubscribeOption {
	return func(o *broker.SubscribeOptions) {
		if o != nil {
			o.Context = change(o.Context, set)
		}
	}
}

// WithSubscription is for the server layer of this module, which passes what generated
// code knows of the messages. Its types are internal; do not use it elsewhere.
func WithSubscription(set func(*client.Subscription, *client.Typed)) broker.SubscribeOption {
	return subscribing(func(s *subscribeCall) { set(&s.Subscription, &s.typed) })
}

// unset is the number of retries if the option was not used, to distinguish it from 0.
const unset = math.MinInt

func newSubscribeCall(opts []broker.SubscribeOption) *subscribeCall {
	s := &subscribeCall{generic: broker.SubscribeOptions{AutoAck: true, MaxRetries: unset}}
	s.QoS = defaultQoS
	read(&carrier[subscribeCall]{settings: s}, &s.generic, &s.generic.Context, opts)
	return s
}

// resolve converts the options into a subscription of the client, and returns their
// errors. Without a number of retries, the retry budget limits them; an explicit 0
// means a single attempt.
func (s *subscribeCall) resolve() (err error) {
	o := &s.generic
	s.ManualAck, s.Concurrency, s.Backoff = !o.AutoAck, o.Concurrency, o.RetryDelay
	if bad := client.CheckExhausted(s.Exhausted); bad != nil {
		err = fmt.Errorf("exhausted %q %w", s.Exhausted, bad)
	}
	if n := s.parkMaxAttempts; n != nil {
		if *n < 0 {
			err = errors.Join(err, fmt.Errorf("%d attempts at a parked message, want 0 or more", *n))
		}
		s.ParkMaxAttempts = client.ParkAttempts(*n)
	}
	switch {
	case o.MaxRetries == unset:
		o.MaxRetries = 0
	case o.MaxRetries < 0:
		s.MaxAttempts = o.MaxRetries // refused with the rest
	default:
		s.MaxAttempts = o.MaxRetries + 1
	}
	return err
}

// orderOf converts the user's ordering-key function.
func orderOf(key func(event.Incoming) string) func(*client.Inbound) string {
	if key == nil {
		return nil
	}
	return func(m *client.Inbound) string { return key(incoming{m}) }
}
