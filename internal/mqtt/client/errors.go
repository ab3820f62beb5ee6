package client

import (
	"context"
	"errors"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/logsafe"
)

// ErrorOf returns the error of an operation as every operation returns it: an
// [event.Error] that names the topic, without what was wrapped around it. Of several,
// as when more than one filter is refused, the first sets the reason and the cause
// names them all. nil stays nil.
func ErrorOf(op, topic string, err error) error {
	if err == nil {
		return nil
	}
	topic = logsafe.Clip(topic)
	first, ok := errors.AsType[*event.Error](err)
	if !ok {
		return &event.Error{Op: op, Topic: topic, Reason: ReasonOfContext(err), Cause: err}
	}
	e := *first
	if all, ok := err.(interface{ Unwrap() []error }); ok && len(all.Unwrap()) > 1 {
		e.Topic, e.Cause = "", err
	}
	if e.Topic = logsafe.Clip(e.Topic); e.Topic == "" && e.Op == op {
		e.Topic = topic
	}
	return &e
}

// ReasonOfContext returns the reason of an error that may be that of a context;
// REFUSED is that of any other one.
func ReasonOfContext(err error) event.Reason {
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return event.ReasonTimeout
	case errors.Is(err, context.Canceled):
		return event.ReasonCanceled
	}
	return event.ReasonRefused
}
