package session

import (
	"fmt"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/logsafe"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/topic"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/wire"
)

// Valid returns an error for a message that no broker can accept. It needs no
// connection.
func Valid(m *Message) error {
	if m.QoS > 2 {
		return &event.Error{Op: opPublish, Topic: m.Topic, Reason: event.ReasonBadRequest, Cause: fmt.Errorf("QoS %d", m.QoS)}
	}
	if err := topic.ValidateName(m.Topic); err != nil {
		return &event.Error{Op: opPublish, Topic: logsafe.Clip(m.Topic), Reason: event.ReasonBadTopic, Cause: err}
	}
	if m.Properties == nil {
		return nil
	}
	head := *m
	head.Payload, head.QoS = nil, 0
	if _, err := encode(nil, &head, 0, wire.V5, nil); err != nil {
		return &event.Error{Op: opPublish, Topic: m.Topic, Reason: event.ReasonBadRequest, Cause: err}
	}
	return nil
}
