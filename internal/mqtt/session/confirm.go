package session

import (
	"context"
	"errors"
	"fmt"

	"github.com/kratos-mqtt/kratos-mqtt/event"
)

// unsubscribedFilter is a filter that nobody subscribes to: a broker answers to
// its UNSUBSCRIBE and changes nothing.
const unsubscribedFilter = "kratos-mqtt/confirm"

var errNotConfirmed = errors.New("the broker did not answer in time")

// Confirm returns nil when the broker has answered, on the present connection,
// to something that was asked after the call: what it granted on this connection
// still stood then. A connection that looks alive may belong to a broker that is
// gone. It waits within ctx for a connection, too.
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

// confirm asks the broker for something that changes nothing. No answer leaves
// the connection as it is: its reading may wait for room, and keep-alive judges
// it.
func (s *Session) confirm(c *conn, ctl control) error {
	ctx, cancel := context.WithTimeout(c.alive, s.cfg.ConnectTimeout)
	defer cancel()
	err := ctl.unsubscribe(ctx, unsubscribedFilter)
	var code *CodeError
	if err == nil || errors.As(err, &code) { // whatever it says, it is there
		return nil
	}
	return &event.Error{Op: opConnect, Reason: event.ReasonNotConnected, Cause: fmt.Errorf("%w: %w", errNotConfirmed, err)}
}
