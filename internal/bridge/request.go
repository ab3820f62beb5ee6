package bridge

import (
	"context"
	"errors"

	"github.com/tx7do/kratos-transport/broker"

	"github.com/kratos-mqtt/kratos-mqtt/event"
)

// Request needs a response topic and correlation data, which MQTT 3.1.1 does
// not have: the error's reason is UNSUPPORTED.
func (b *Broker) Request(_ context.Context, topic string, _ *broker.Message, _ ...broker.RequestOption) (*broker.Message, error) {
	return nil, &event.Error{
		Op: "request", Topic: clip(topic), Reason: event.ReasonUnsupported,
		Cause: errors.New("MQTT 3.1.1 has no response topic"),
	}
}
