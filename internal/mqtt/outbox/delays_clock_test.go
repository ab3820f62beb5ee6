package outbox

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event/message"
	"github.com/kratos-mqtt/kratos-mqtt/event/outbox"
)

// An entry is due by the wall clock, which may be set while the relay waits: within a poll
// interval it is noticed.
func TestDelayedByTheWallClock(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, err := outbox.NewMemory(outbox.MemoryOptions{})
		if err != nil {
			t.Fatal(err)
		}
		var jump atomic.Int64 // what the clock was set forward by
		d := newDelays(&Settings{Store: s}, nil)
		d.now = func() time.Time { return time.Now().Add(time.Duration(jump.Load())) }
		put := func(id string, after time.Duration) {
			t.Helper()
			err := s.Append(t.Context(), &outbox.Entry{Message: message.Message{Topic: "t"}, ID: id, Due: d.now().Add(after)})
			if err != nil {
				t.Fatal(err)
			}
		}
		go d.run(t.Context())
		waiting := func(want int, when string) {
			t.Helper()
			synctest.Wait()
			if st, err := s.Stats(t.Context()); err != nil || st.Depth != want {
				t.Errorf("%s: %d waiting, %v; want %d", when, st.Depth, err, want)
			}
		}
		put("forward", time.Hour)
		waiting(0, "at once")
		jump.Store(int64(time.Hour))
		<-time.After(defaultPoll)
		waiting(1, "a second after the clock was set forward")
		put("back", time.Hour)
		jump.Store(-int64(time.Hour))
		<-time.After(2 * time.Hour)
		waiting(1, "when an hour had passed by other clocks")
		<-time.After(time.Hour)
		waiting(2, "when the clock had the time again")
	})
}
