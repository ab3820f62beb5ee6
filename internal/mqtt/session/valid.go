package session

import (
	"fmt"

	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/topic"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/wire"
)

// Valid reports what no broker can take, before there is one.
func Valid(m *Message) error {
	if m.QoS > 2 {
		return &Error{Op: opPublish, Topic: m.Topic, Reason: ReasonBadRequest, Cause: fmt.Errorf("QoS %d", m.QoS)}
	}
	if err := topic.ValidateName(m.Topic); err != nil {
		return &Error{Op: opPublish, Topic: shorten(m.Topic), Reason: ReasonBadTopic, Cause: err}
	}
	if m.Properties == nil {
		return nil
	}
	head := *m
	head.Payload, head.QoS = nil, 0
	if _, err := encode(nil, &head, 0, wire.V5, nil); err != nil {
		return &Error{Op: opPublish, Topic: m.Topic, Reason: ReasonBadRequest, Cause: err}
	}
	return nil
}
