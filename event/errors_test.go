package event_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	kerrors "github.com/go-kratos/kratos/v2/errors"

	"github.com/kratos-mqtt/kratos-mqtt/event"
)

func TestErrorBecomesKratosError(t *testing.T) {
	t.Parallel()
	tests := []struct {
		reason event.Reason
		code   int
	}{
		{event.ReasonNotConnected, 503},
		{event.ReasonClosed, 503},
		{event.ReasonSessionLost, 503},
		{event.ReasonTakenOver, 503},
		{event.ReasonNetwork, 503},
		{event.ReasonTimeout, 504},
		{event.ReasonCanceled, 499},
		{event.ReasonNotAuthorized, 403},
		{event.ReasonQuota, 429},
		{event.ReasonTooLarge, 413},
		{event.ReasonBadTopic, 400},
		{event.ReasonBadRequest, 400},
		{event.ReasonCodec, 400},
		{event.ReasonRefused, 502},
		{event.ReasonUnsupported, 501},
		{event.ReasonOutboxFull, 503},
		{event.ReasonOutboxFailed, 503},
		{"SOMETHING_ELSE", 500},
	}
	for _, tt := range tests {
		t.Run(string(tt.reason), func(t *testing.T) {
			t.Parallel()
			err := fmt.Errorf("wrapped: %w", &event.Error{Op: "publish", Topic: "a/b", Reason: tt.reason})
			k := kerrors.FromError(err)
			if int(k.Code) != tt.code || k.Reason != string(tt.reason) {
				t.Errorf("got code %d reason %q, want %d %q", k.Code, k.Reason, tt.code, tt.reason)
			}
		})
	}
}

func TestErrorText(t *testing.T) {
	t.Parallel()
	err := &event.Error{
		Op: "publish", Topic: "a/b", Reason: event.ReasonTimeout,
		MayHaveBeenSent: true, Cause: context.DeadlineExceeded,
	}
	const want = `mqtt: publish "a/b": timeout (may have been sent): context deadline exceeded`
	if got := err.Error(); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Error("the cause is not in the chain")
	}
	if md := kerrors.FromError(err).Metadata; md["may_have_been_sent"] != "true" {
		t.Errorf("metadata %v", md)
	}
}
