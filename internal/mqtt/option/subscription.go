package option

import (
	"context"
	"errors"
	"fmt"

	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/client"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/envelope"
)

// DefaultQoS of publishes, requests and subscriptions is at least once.
const DefaultQoS = 1

// Subscription are the settings that options change for one subscription.
type Subscription struct {
	client.Subscription
	// Message is how its messages are decoded, and what generated code knows of them.
	Message client.Typed
	// Group is the group of a shared subscription, or "".
	Group string
	// CodecName is the name of the codec; "" means the broker's.
	CodecName string
	// Broad is set if "#" and "$SYS" filters are intended.
	Broad bool
	// ParkAttempts is the maximum number of attempts at a parked message, 0 means no limit;
	// nil means that of other messages.
	ParkAttempts *int
}

// SetRetries sets the number of attempts after the first one; 0 means a single attempt. A
// negative number is refused with the rest.
func (s *Subscription) SetRetries(n int) {
	if s.MaxAttempts = n; n >= 0 {
		s.MaxAttempts = n + 1
	}
}

// SetValues adds the values of a context to those of the handler's. The end of that context
// must not end an attempt, so it never ends here.
func (s *Subscription) SetValues(ctx context.Context) {
	if s.Message.Values = nil; ctx != nil && ctx != context.Background() {
		s.Message.Values = context.WithoutCancel(ctx) //nolint:fatcontext // replaces the values
	}
}

// Resolve completes the subscription to a topic filter, with the codec of a name ("" is that
// of the broker) and binder, which returns the value to decode into. It returns the
// subscription of the client, or all problems of the options.
func (s *Subscription) Resolve(topic string, codec func(name string) (envelope.Codec, error), binder func() any) (*client.Subscription, error) {
	var err error
	t := &s.Message
	if t.Codec, err = codec(s.CodecName); err != nil {
		return nil, client.CodecError("subscribe", topic, err)
	}
	if bad := client.CheckExhausted(s.Exhausted); bad != nil {
		err = fmt.Errorf("exhausted %q %w", s.Exhausted, bad)
	}
	if n := s.ParkAttempts; n != nil {
		if *n < 0 {
			err = errors.Join(err, fmt.Errorf("%d attempts at a parked message, want 0 or more", *n))
		}
		s.ParkMaxAttempts = client.ParkAttempts(*n)
	}
	if err != nil {
		return nil, client.BadRequest("subscribe", topic, err.Error())
	}
	if s.Filter, err = client.Filter(topic, s.Group, s.Broad); err != nil {
		return nil, client.ErrorOf("subscribe", topic, err)
	}
	t.Topic, t.New = topic, binder
	s.Typed = t
	return &s.Subscription, nil
}
