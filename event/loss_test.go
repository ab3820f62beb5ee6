package event_test

import (
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/kratos-mqtt/kratos-mqtt/event"
)

// The words of a loss are the same wherever it is shown.
func TestLossInWords(t *testing.T) {
	t.Parallel()
	for want, loss := range map[string]event.LossError{
		`connection lost: the broker ended it over a publish to "a/b": EOF`:                           {Kind: event.LossPublish, Topic: "a/b", Suspects: 1, Cause: io.EOF},
		`connection lost: the broker ended it over a publish to "a/b" or another of 3 in flight: EOF`: {Kind: event.LossPublish, Topic: "a/b", Suspects: 3, Cause: io.EOF},
		`connection lost: the broker ended it over a subscription to "a/#": EOF`:                      {Kind: event.LossSubscribe, Topic: "a/#", Cause: io.EOF},
		`connection lost: another client uses the client id "me": each replica needs its own: set client_id to "{service}-{ordinal}" in a StatefulSet, to "{service}-{hostname}" elsewhere, or to nothing if the broker is to keep no session: EOF`:                 {Kind: event.LossTakenOver, ClientID: "me", Cause: io.EOF},
		`connection lost: the network; if another client uses the client id "me", each replica needs its own: set client_id to "{service}-{ordinal}" in a StatefulSet, to "{service}-{hostname}" elsewhere, or to nothing if the broker is to keep no session: EOF`: {Kind: event.LossNetwork, Contested: true, ClientID: "me", Cause: io.EOF},
		`connection lost: the broker gave up while the queue of messages was full: EOF`:                      {Kind: event.LossBackPressure, Cause: io.EOF},
		`connection lost: the broker ended it for reasons of its own: DISCONNECT 0x8B: server shutting down`: {Kind: event.LossShutdown, Code: 0x8B, Cause: errors.New("DISCONNECT 0x8B: server shutting down")},
		`connection lost: the broker names another server: EOF`:                                              {Kind: event.LossMoved, Cause: io.EOF},
		`connection lost: a limit of the broker: EOF`:                                                        {Kind: event.LossQuota, Cause: io.EOF},
		`connection lost: no sign of life in time: EOF`:                                                      {Kind: event.LossKeepAlive, Cause: io.EOF},
		`connection lost: a breach of the protocol: EOF`:                                                     {Kind: event.LossProtocol, Cause: io.EOF},
		`connection lost: closed by the broker: EOF`:                                                         {Kind: event.LossClosed, Cause: io.EOF},
		`connection lost: the network`:                                                                       {Kind: event.LossNetwork},
	} {
		if got := loss.Error(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
		err := &event.Error{Op: "publish", Reason: event.ReasonNotConnected, Cause: fmt.Errorf("waiting: %w", &loss)}
		if got := event.LossKindOf(err); got != loss.Kind {
			t.Errorf("%q, want %q", got, loss.Kind)
		}
		if loss.Cause != nil && !errors.Is(err, loss.Cause) {
			t.Errorf("%v hides what ended the connection", err)
		}
	}
	if got := event.LossKindOf(io.EOF); got != "" {
		t.Errorf("%q", got)
	}
	if err := (&event.Error{Op: "publish", Topic: "t", Reason: event.ReasonRefused, Convicted: true}).Error(); err != `mqtt: publish "t": refused (ends every connection)` {
		t.Error(err)
	}
}
