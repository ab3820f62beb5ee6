package bridge

import (
	"context"
	"fmt"
	"math"
	"time"

	"github.com/tx7do/kratos-transport/broker"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/client"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/envelope"
)

// PublishSettings are what the MQTT publish options change.
type PublishSettings struct {
	Topic       string // over the one that was given
	QoS         byte
	Retain      bool
	Expiry      time.Duration
	ContentType string                // else the codec's
	User        []client.UserProperty // beside the headers

	ID     string // over the message's
	Key    string // of the order in an outbox, else the topic
	Direct bool   // past the outbox

	Method   *event.MethodDesc // of a generated client; nil without one
	Unrouted *event.Unrouted   // over what configuration and method say

	OrderKey string // that the message has itself; a header where there is room
	IDKnown  bool   // the message has its id itself, likewise

	ResponseTopic string
	Correlation   []byte

	codec   envelope.Codec // over the generic options'
	noCodec bool           // the body is bytes
	answer  *Answer        // goes back: no metadata of the context; nil is none

	qosSet bool // else the generic number of acknowledgements counts
}

// SetQoS sets the QoS of one publish, over the generic number of
// acknowledgements.
func (s *PublishSettings) SetQoS(qos byte) { s.QoS, s.qosSet = qos, true }

// PublishOption makes a kratos-transport option of a change to one publish.
func PublishOption(set func(*PublishSettings)) broker.PublishOption {
	return func(o *broker.PublishOptions) {
		if o != nil {
			o.Context = change(o.Context, set)
		}
	}
}

// defaultQoS is at least once, as in kratos-transport.
const defaultQoS = 1

// unset tells an option that was not given from one of 0.
const unset = math.MinInt

// publishCall is what one Publish is asked to do.
type publishCall struct {
	generic broker.PublishOptions
	own     PublishSettings
	carrier carrier[PublishSettings]
	msg     Message // that is made of it
	outcome outcome // when nobody waits
}

func newPublishCall(topic string, opts []broker.PublishOption) (*publishCall, error) {
	r := &publishCall{generic: broker.PublishOptions{RequiredAcks: unset, Retries: unset}, own: PublishSettings{QoS: defaultQoS}}
	c := &r.carrier
	c.settings = &r.own
	c.keep(&r.generic.Context)
	for _, opt := range opts {
		if opt != nil {
			opt(&r.generic)
			c.keep(&r.generic.Context)
		}
	}
	r.generic.Context = c.release(r.generic.Context) //nolint:fatcontext // takes the carrier out again
	if r.own.Expiry < 0 {
		return r, badRequest("publish", topic, fmt.Sprintf("expiry of %v", r.own.Expiry))
	}
	return r, r.requireAcks(topic)
}

// requireAcks reads the generic number of acknowledgements as a QoS; -1, all
// of them, is at least once.
func (r *publishCall) requireAcks(topic string) error {
	acks := r.generic.RequiredAcks
	switch {
	case acks == unset || acks == -1 || r.own.qosSet:
		return nil
	case acks >= 0 && acks <= 2:
		r.own.QoS = byte(acks)
		return nil
	}
	return badRequest("publish", topic, fmt.Sprintf("%d required acknowledgements, want -1, 0, 1 or 2", acks))
}

// bound limits ctx by the timeout and the context of the options.
func (r *publishCall) bound(ctx context.Context) (context.Context, context.CancelFunc) {
	other := r.generic.Context
	if r.generic.Timeout <= 0 && other.Done() == nil {
		return ctx, func() {}
	}
	stops := make([]func(), 0, 3)
	limit := func(ctx context.Context, cancel context.CancelFunc) context.Context {
		stops = append(stops, cancel)
		return ctx
	}
	if r.generic.Timeout > 0 {
		ctx = limit(context.WithTimeout(ctx, r.generic.Timeout))
	}
	if d, ok := other.Deadline(); ok {
		ctx = limit(context.WithDeadline(ctx, d))
	}
	if other.Done() != nil {
		joined, cancel := context.WithCancel(ctx)
		ctx = limit(joined, cancel)
		stop := context.AfterFunc(other, func() {
			if other.Err() == context.Canceled { // a deadline has come already
				cancel()
			}
		})
		stops = append(stops, func() { stop() })
	}
	return ctx, func() {
		for _, stop := range stops {
			stop()
		}
	}
}
