package hook

import (
	"io"
	"testing"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/logsafe"
)

// panicking is a hook that panics, and measuring one that counts.
type (
	panicking struct{}
	measuring struct{ calls int }
)

func (panicking) OnPublish(event.PublishInfo) { panic("boom") }
func (panicking) OnHandle(event.HandleInfo)   { panic("boom") }

func (m *measuring) OnPublish(event.PublishInfo) { m.calls++ }
func (m *measuring) OnHandle(event.HandleInfo)   { m.calls++ }

// A hook that panics keeps no call from those behind it.
func TestHookThatPanicsBlindsNoOther(t *testing.T) {
	t.Parallel()
	out := logsafe.Log{Logger: outLog{to: io.Discard}}
	m := new(measuring)
	set, err := New([]any{panicking{}, m, panicking{}, m}, out)
	if err != nil {
		t.Fatal(err)
	}
	set.Published(event.PublishInfo{})
	if m.calls != 2 {
		t.Errorf("%d of 2 hooks were told of a publish", m.calls)
	}
	Protect(out, "a hook", func() { set.Calls().Handled(event.HandleInfo{}) })
	if m.calls != 4 {
		t.Errorf("%d of 2 hooks were told of a handled message", m.calls-2)
	}
}
