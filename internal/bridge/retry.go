package bridge

import (
	"context"
	"errors"

	"github.com/cenkalti/backoff/v5"

	"github.com/kratos-mqtt/kratos-mqtt/event"
)

// retry publishes again what may work later, up to retries times within ctx.
// The error is that of the last attempt, but says that the message may have
// been sent when any attempt may have sent it.
func retry(ctx context.Context, retries int, qos byte, publish func() error) error {
	if retries <= 0 {
		return publish()
	}
	var last error
	maybe := false
	_, _ = backoff.Retry(ctx, func() (struct{}, error) {
		last = publish()
		var e *event.Error
		if !errors.As(last, &e) {
			return struct{}{}, last // nil
		}
		maybe = maybe || e.MayHaveBeenSent
		e.MayHaveBeenSent = maybe
		if !retryable(e, qos) {
			return struct{}{}, backoff.Permanent(last)
		}
		return struct{}{}, last
	}, backoff.WithMaxTries(uint(retries)+1), backoff.WithMaxElapsedTime(0))
	return last
}

func retryable(e *event.Error, qos byte) bool {
	if qos == 2 && e.MayHaveBeenSent {
		return false // would be a second delivery
	}
	switch e.Reason {
	case event.ReasonNotConnected, event.ReasonNetwork, event.ReasonTimeout, event.ReasonSessionLost, event.ReasonQuota:
		return true
	}
	return false
}
