package bridge

import (
	"cmp"
	"errors"
	"fmt"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/client"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/logsafe"
)

// event shows a delivery that is not decoded yet. The event is there also with
// an error; of a message over a limit it is the bare one.
func (s *state) event(d *client.Delivery) (*Event, error) {
	if err := d.IllFormed(); err != nil {
		return bareEvent(d), &event.Error{Op: "decode", Topic: clip(d.Topic), Reason: event.ReasonCodec, Cause: err}
	}
	if err := d.OverLimit(); err != nil {
		return bareEvent(d), tooLarge("decode", d.Topic, fmt.Errorf("%w: its payload was not kept", err))
	}
	limit := cmp.Or(s.cfg.MaxInbound, client.DefaultMaxPayload)
	if n := len(d.Payload); n > limit {
		return bareEvent(d), tooLarge("decode", d.Topic, fmt.Errorf("payload of %d bytes, want at most %d", n, limit))
	}
	if d.Properties != nil {
		if err := client.CheckHeaders(d.Properties.User); err != nil {
			return bareEvent(d), tooLarge("decode", d.Topic, err)
		}
	}
	e, err := newEvent(d, s.cloudEvents != "")
	if err == nil && e.ce != nil {
		if err := client.CheckHeaders(e.ce.attributes); err != nil {
			return bareEvent(d), tooLarge("decode", d.Topic, err)
		}
	}
	return e, err
}

// tooLarge is the error of a message over a limit: trying again does not help.
func tooLarge(op, topic string, cause error) error {
	return &event.Error{Op: op, Topic: clip(topic), Reason: event.ReasonTooLarge, Cause: cause}
}

// formError says that a message cannot be decoded or given its form, unless err
// says better why. The text of a codec's error may quote the payload.
func formError(op, topic string, err error) error {
	if _, ok := errors.AsType[*event.Error](err); ok {
		return err
	}
	return codecError(op, topic, lineError{err})
}

// lineError is an error whose text is fit for a log.
type lineError struct{ error }

// maxQuoted is how much of a codec's error is shown, in bytes.
const maxQuoted = 256

// Error returns one line.
func (e lineError) Error() string { return logsafe.Short(e.error.Error(), maxQuoted) }

// Unwrap returns the error as it was.
func (e lineError) Unwrap() error { return e.error }
