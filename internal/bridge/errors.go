package bridge

import (
	"context"
	"errors"

	kerrors "github.com/go-kratos/kratos/v2/errors"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/internal/engine"
)

// public turns an error of the engine into the one that users see.
func public(err error) error {
	var e *engine.Error
	if !errors.As(err, &e) {
		return err
	}
	return &event.Error{
		Op: e.Op, Topic: e.Topic, Reason: event.Reason(e.Reason), MayHaveBeenSent: e.MayHaveBeenSent, Cause: e.Cause,
	}
}

// codecError says that a message cannot be encoded or decoded: trying again
// does not help.
func codecError(op, topic string, cause error) error {
	return &event.Error{Op: op, Topic: topic, Reason: event.ReasonCodec, Cause: cause}
}

func badRequest(op, topic, what string) error {
	return &event.Error{Op: op, Topic: topic, Reason: event.ReasonBadRequest, Cause: errors.New(what)}
}

// classify dead-letters at once what no retry can help: the message cannot be
// decoded, or the handler says by a Kratos code that it is to blame.
func classify(err error) engine.Verdict {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return engine.Retry
	}
	switch kerrors.Code(err) {
	case 400, 413, 422, 501:
		return engine.DeadLetter
	}
	return engine.Retry
}

func reasonOf(err error) event.Reason {
	var e *event.Error
	if errors.As(err, &e) {
		return e.Reason
	}
	return ""
}
