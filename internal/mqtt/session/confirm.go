package session

import (
	"context"
	"errors"
	"fmt"

	"github.com/kratos-mqtt/kratos-mqtt/event"
)

// unsubscribedFilter is a filter that nothing subscribes to: a broker answers
// its UNSUBSCRIBE and changes nothing.
const unsubscribedFilter = "kratos-mqtt/confirm"

var errNotConfirmed = errors.New("the broker did not answer in time")

// Confirm returns nil when the broker has answered, on the current connection,
// a request that was sent after the call. Everything that the broker granted on
// this connection was then still valid. A connection that looks alive may
// belong to a broker that is gone. Confirm also waits for a connection, within
// ctx.
func (s *Session) Confirm(ctx context.Context) error {
	if ctx == nil {
		return &event.Error{Op: opConnect, Reason: event.ReasonBadRequest, Cause: errors.New("context is nil")}
	}
	answer := make(chan error, 1)
	select {
	case s.subs.asked <- answer:
	case <-ctx.Done():
		return &event.Error{Op: opConnect, Reason: event.ReasonNotConnected, Cause: ctx.Err()}
	case <-s.running.Done():
		return &event.Error{Op: opConnect, Reason: event.ReasonClosed, Cause: errStopped}
	}
	select {
	case err := <-answer:
		return err
	case <-ctx.Done():
		return &event.Error{Op: opConnect, Reason: gaveUp(ctx.Err()), Cause: errNotConfirmed}
	}
}

// confirm sends a request that changes nothing. A missing answer does not end
// the connection: reading may wait for room, and keep-alive detects a dead
// peer.
func (s *Session) confirm(c *conn, ctl control) error {
	ctx, cancel := context.WithTimeout(c.alive, s.cfg.ConnectTimeout)
	defer cancel()
	err := ctl.unsubscribe(ctx, unsubscribedFilter)
	var code *CodeError
	if err == nil || errors.As(err, &code) { // any answer shows that the broker is there
		return nil
	}
	return &event.Error{Op: opConnect, Reason: event.ReasonNotConnected, Cause: fmt.Errorf("%w: %w", errNotConfirmed, err)}
}
