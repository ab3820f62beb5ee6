package option

import (
	"context"
	"fmt"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/event/message"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/client"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/envelope"
)

// outgoing is a message and its call options, in one allocation.
type outgoing struct {
	msg   client.Outgoing
	call  event.Call
	props client.Properties
}

// PublishPayload publishes ready bytes with the options of a call. With done it does not wait
// for the outcome, see [client.Client.Publish]. The payload may be used again when it returns.
func PublishPayload(ctx context.Context, c *client.Client, topic string, payload []byte, done func(error), opts []event.CallOption) error {
	if len(opts) == 0 { // stays on the stack
		return c.Publish(ctx, &client.Outgoing{
			Message: client.Message{Topic: topic, Payload: payload, QoS: DefaultQoS, Done: done}, Encoded: true,
		})
	}
	o := &outgoing{call: event.Call{Topic: topic, QoS: DefaultQoS}}
	call := &o.call
	call.Apply(opts...)
	if call.Expiry < 0 {
		return &event.Error{Op: "publish", Topic: call.Topic, Reason: event.ReasonBadRequest, Cause: fmt.Errorf("expiry of %v, want 0s or more", call.Expiry)}
	}
	o.msg = client.Outgoing{
		Message: client.Message{Topic: call.Topic, Payload: payload, QoS: call.QoS, Retain: call.Retain, Done: done},
		Key:     call.OrderingKey, SkipOutbox: call.SkipOutbox, Again: call.Unrouted, Due: call.Due, Encoded: true,
	}
	o.props = client.Properties{ContentType: call.ContentType, Expiry: call.Expiry}
	o.props.User = append(o.props.User, call.Headers...)
	if call.ID != "" {
		o.props.User = append(o.props.User, client.UserProperty{Key: idKey, Value: call.ID})
	}
	if call.ContentType != "" || call.Expiry != 0 || o.props.User != nil {
		o.msg.Properties = &o.props
	}
	return c.Publish(ctx, &o.msg)
}

// Done returns the function that is called with the outcome of a publish that does not wait;
// the user's may be nil.
func Done(done func(error)) func(error) {
	if done == nil {
		return func(error) {}
	}
	return done
}

// SendMessage publishes a message as it is, without waiting for the outcome.
func SendMessage(ctx context.Context, c *client.Client, m *message.Message, done func(error)) error {
	out := &client.Outgoing{Message: *envelope.Outgoing(m), Encoded: true}
	out.Done = Done(done)
	return c.Publish(ctx, out)
}

// idKey is the user property that has the id of a message.
const idKey = "id"
