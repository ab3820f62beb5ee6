package client

import (
	"errors"
	"testing"

	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/logsafe"
)

// TestLoginBeforeTheNextOne checks that the old login of a rotation is the last one that the
// broker accepted, also if it had refused that one at first.
func TestLoginBeforeTheNextOne(t *testing.T) {
	t.Parallel()
	first, second, third := login{"u", "first"}, login{"u", "second"}, login{"u", "third"}
	l := &logins{log: logsafe.Silence, now: first}
	refused := errors.New("not authorized")

	l.set(second)
	l.reject(second, refused, 1)
	if got := l.use(); got != first {
		t.Fatalf("after a refusal %v is used, want %v", got, first)
	}
	l.reject(first, refused, 1) // the broker knows the second one now
	if got := l.use(); got != second {
		t.Fatalf("%v is used, want %v", got, second)
	}
	l.accept(second)

	l.set(third)
	l.reject(third, refused, 1)
	if got := l.use(); got != second {
		t.Errorf("%v is used, want %v, which the broker accepted last", got, second)
	}
}
