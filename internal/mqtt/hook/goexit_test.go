package hook

import (
	"io"
	"runtime"
	"testing"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/logsafe"
)

// leaving is a hook that ends its goroutine, as a failing test assertion does.
type leaving struct{ told chan struct{} }

func (l leaving) OnOutbox(event.OutboxInfo) { l.told <- struct{}{}; runtime.Goexit() }

// A hook that ends its goroutine receives what comes behind.
func TestHookThatEndsItsGoroutine(t *testing.T) {
	t.Parallel()
	l := leaving{make(chan struct{}, 3)}
	set, err := New([]any{l}, logsafe.Log{Logger: outLog{to: io.Discard}})
	if err != nil {
		t.Fatal(err)
	}
	for range cap(l.told) {
		set.Outbox()(event.OutboxInfo{})
	}
	set.Wait(t.Context())
	if len(l.told) != cap(l.told) {
		t.Errorf("called %d times, want %d", len(l.told), cap(l.told))
	}
}
