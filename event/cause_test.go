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
		`connection lost: the broker ended it over a publish to "a/b": EOF`:                                                                                           {Cause: event.CausePublish, Topic: "a/b", Suspects: 1, Err: io.EOF},
		`connection lost: the broker ended it over a publish to "a/b" or another of 3 in flight: EOF`:                                                                 {Cause: event.CausePublish, Topic: "a/b", Suspects: 3, Err: io.EOF},
		`connection lost: the broker ended it over a subscription to "a/#": EOF`:                                                                                      {Cause: event.CauseSubscribe, Topic: "a/#", Err: io.EOF},
		`connection lost: another client uses the client id "me": give each instance a client_id of its own, for example one with its host name: EOF`:                 {Cause: event.CauseTakenOver, ClientID: "me", Err: io.EOF},
		`connection lost: the network; if another client uses the client id "me", give each instance a client_id of its own, for example one with its host name: EOF`: {Cause: event.CauseNetwork, Contested: true, ClientID: "me", Err: io.EOF},
		`connection lost: the broker gave up while the queue of messages was full: EOF`:                                                                               {Cause: event.CauseBackPressure, Err: io.EOF},
		`connection lost: the broker ended it for reasons of its own: DISCONNECT 0x8B: server shutting down`:                                                          {Cause: event.CauseShutdown, Code: 0x8B, Err: errors.New("DISCONNECT 0x8B: server shutting down")},
		`connection lost: the broker names another server: EOF`:                                                                                                       {Cause: event.CauseMoved, Err: io.EOF},
		`connection lost: a limit of the broker: EOF`:                                                                                                                 {Cause: event.CauseQuota, Err: io.EOF},
		`connection lost: no sign of life in time: EOF`:                                                                                                               {Cause: event.CauseKeepAlive, Err: io.EOF},
		`connection lost: a breach of the protocol: EOF`:                                                                                                              {Cause: event.CauseProtocol, Err: io.EOF},
		`connection lost: closed by the broker: EOF`:                                                                                                                  {Cause: event.CauseClosed, Err: io.EOF},
		`connection lost: the network`:                                                                                                                                {Cause: event.CauseNetwork},
	} {
		if got := loss.Error(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
		err := &event.Error{Op: "publish", Reason: event.ReasonNotConnected, Cause: fmt.Errorf("waiting: %w", &loss)}
		if got := event.CauseOf(err); got != loss.Cause {
			t.Errorf("%q, want %q", got, loss.Cause)
		}
		if loss.Err != nil && !errors.Is(err, loss.Err) {
			t.Errorf("%v hides what ended the connection", err)
		}
	}
	if got := event.CauseOf(io.EOF); got != "" {
		t.Errorf("%q", got)
	}
	if err := (&event.Error{Op: "publish", Topic: "t", Reason: event.ReasonRefused, Convicted: true}).Error(); err != `mqtt: publish "t": refused (ends every connection)` {
		t.Error(err)
	}
}
