package bridge

import (
	"errors"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/logsafe"
)

// joinCauses joins what is wrong into one list, without the words that the
// client puts in front of its own.
func joinCauses(problems, err error) error {
	if e, ok := errors.AsType[*event.Error](err); ok && e.Cause != nil {
		err = e.Cause
	}
	return errors.Join(problems, err)
}

func badRequest(op, topic, what string) error {
	return &event.Error{Op: op, Topic: clip(topic), Reason: event.ReasonBadRequest, Cause: errors.New(what)}
}

// clip keeps a bad topic from filling a log.
func clip(topic string) string { return logsafe.Clip(topic) }
