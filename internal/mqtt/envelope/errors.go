package envelope

import (
	"errors"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/logsafe"
)

// failure is the error of a message that cannot be read or written: trying again does
// not help.
func failure(op, topic string, reason event.Reason, cause error) error {
	return &event.Error{Op: op, Topic: logsafe.Clip(topic), Reason: reason, Cause: cause}
}

// FormError is the error of a message that cannot be decoded or given its form,
// unless err says better why.
func FormError(op, topic string, err error) error {
	if _, ok := errors.AsType[*event.Error](err); ok {
		return err
	}
	return failure(op, topic, event.ReasonCodec, logsafe.Error(err))
}
