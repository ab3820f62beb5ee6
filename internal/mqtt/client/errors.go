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

// ReasonOfContext returns the reason for the error of a context, or REFUSED for any other
// error.
func ReasonOfContext(err error) event.Reason {
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return event.ReasonTimeout
	case errors.Is(err, context.Canceled):
		return event.ReasonCanceled
	}
	return event.ReasonRefused
}

// configError joins all errors of the settings into one, without their prefixes.
func configError(errs ...error) error {
	for i, err := range errs {
		if e, ok := errors.AsType[*event.Error](err); ok && e.Cause != nil && e.Op == "configure" {
			errs[i] = e.Cause
		}
	}
	if err := errors.Join(errs...); err != nil {
		return &event.Error{Op: "configure", Reason: event.ReasonBadRequest, Cause: err}
	}
	return nil
}

// CodecError returns the error of a message that cannot be encoded or decoded. Retrying does
// not help.
func CodecError(op, topic string, cause error) error {
	return &event.Error{Op: op, Topic: logsafe.Clip(topic), Reason: event.ReasonCodec, Cause: cause}
}

// BadRequest returns the error of an operation that was called wrongly.
func BadRequest(op, topic, what string) error {
	return &event.Error{Op: op, Topic: logsafe.Clip(topic), Reason: event.ReasonBadRequest, Cause: errors.New(what)}
}
