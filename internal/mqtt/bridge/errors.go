package bridge

import (
	"context"
	"errors"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/client"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/logsafe"
)

func publicPublish(err error) error { return public("publish", "", err) }

// public turns an error of the engine into the one that users see: always an
// *event.Error. Of several, as when more than one filter is refused, the first
// sets the reason and the cause names them all.
func public(op, topic string, err error) error {
	if err == nil {
		return nil
	}
	var e *client.Error
	if !errors.As(err, &e) {
		return &event.Error{Op: op, Topic: clip(topic), Reason: reasonOfContext(err), Cause: err}
	}
	p := &event.Error{
		Op: e.Op, Topic: clip(e.Topic), Reason: event.Reason(e.Reason), MayHaveBeenSent: e.MayHaveBeenSent,
		Convicted: e.Convicted, HeldFor: e.HeldFor, ByBroker: e.ByBroker, Cause: e.Cause,
	}
	if many, ok := err.(interface{ Unwrap() []error }); ok && len(many.Unwrap()) > 1 {
		p.Topic, p.Cause = "", err
	}
	if p.Topic == "" && p.Op == op {
		p.Topic = clip(topic)
	}
	return p
}

func reasonOfContext(err error) event.Reason {
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return event.ReasonTimeout
	case errors.Is(err, context.Canceled):
		return event.ReasonCanceled
	}
	return event.ReasonRefused
}

// joinCauses joins what is wrong into one list, without the words that the
// engine puts in front of its own.
func joinCauses(problems, err error) error {
	var e *client.Error
	if errors.As(err, &e) && e.Cause != nil {
		err = e.Cause
	}
	return errors.Join(problems, err)
}

// codecError says that a message cannot be encoded or decoded: trying again
// does not help.
func codecError(op, topic string, cause error) error {
	return &event.Error{Op: op, Topic: clip(topic), Reason: event.ReasonCodec, Cause: cause}
}

func badRequest(op, topic, what string) error {
	return &event.Error{Op: op, Topic: clip(topic), Reason: event.ReasonBadRequest, Cause: errors.New(what)}
}

// clip keeps a bad topic from filling a log.
func clip(topic string) string { return logsafe.Clip(topic) }

// classify dead-letters at once what no retry can help: the message cannot be
// decoded, or the handler says by the code of a Kratos error that it is to blame.
func classify(err error) client.Verdict {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return client.Retry
	}
	switch event.StatusOf(err).Code {
	case 400, 413, 422, 501:
		return client.DeadLetter
	}
	return client.Retry
}
