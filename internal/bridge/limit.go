package bridge

import (
	"cmp"
	"errors"
	"fmt"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/internal/engine"
	"github.com/kratos-mqtt/kratos-mqtt/internal/printable"
)

// event shows a delivery that is not decoded yet. The event is there also with
// an error; of a message over a limit it is the bare one.
func (s *state) event(d *engine.Delivery) (*Event, error) {
	limit := cmp.Or(s.cfg.MaxInbound, engine.DefaultMaxPayload)
	if n := len(d.Payload); n > limit {
		return bareEvent(d), tooLarge(d, fmt.Errorf("payload of %d bytes, want at most %d", n, limit))
	}
	if d.Properties != nil {
		if err := engine.CheckHeaders(d.Properties.User); err != nil {
			return bareEvent(d), tooLarge(d, err)
		}
	}
	e, err := newEvent(d, s.cloudEvents != "")
	if err == nil && e.ce != nil {
		if err := engine.CheckHeaders(e.header); err != nil {
			return bareEvent(d), tooLarge(d, err)
		}
	}
	return e, err
}

// tooLarge is the error of a message over a limit: trying again does not help.
func tooLarge(d *engine.Delivery, cause error) error {
	return &event.Error{Op: "decode", Topic: clip(d.Topic), Reason: event.ReasonTooLarge, Cause: cause}
}

// decodeError says that a message cannot be decoded. The text of the cause may
// quote the payload.
func decodeError(topic string, err error) error {
	if _, ok := errors.AsType[*event.Error](err); ok {
		return err
	}
	return codecError("decode", topic, lineError{err})
}

// lineError is an error whose text is fit for a log.
type lineError struct{ error }

// maxQuoted is how much of a codec's error is shown, in bytes.
const maxQuoted = 256

// Error gives one line.
func (e lineError) Error() string { return printable.Short(e.error.Error(), maxQuoted) }

// Unwrap gives the error as it was.
func (e lineError) Unwrap() error { return e.error }
