package hook

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/logsafe"
)

// stuck is a hook for all calls that are made later; each call waits for let.
type stuck struct {
	let chan struct{}

	mu    sync.Mutex
	calls int
	drops []event.UnhandledInfo
}

func (s *stuck) hang() {
	<-s.let
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls++
}

func (s *stuck) OnConnectAttempt(event.ConnectAttemptInfo) { s.hang() }
func (s *stuck) OnConnectionLost(event.ConnectionLostInfo) { s.hang() }
func (s *stuck) OnSessionLost(event.SessionLostInfo)       { s.hang() }
func (s *stuck) OnSubscribe(event.SubscribeInfo)           { s.hang() }
func (s *stuck) OnParkedKey(event.ParkedKey)               { s.hang() }
func (s *stuck) OnGap(event.GapInfo)                       { s.hang() }
func (s *stuck) OnOutbox(event.OutboxInfo)                 { s.hang() }
func (s *stuck) OnUnhandled(i event.UnhandledInfo) {
	s.hang()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.drops = append(s.drops, i)
}

// What is reported later waits for no hook, adds up drops, misses what is beyond
// the bound and says so, and Stop does not wait for ever.
func TestHookThatHangsDelaysNobody(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		hang, quick := &stuck{let: make(chan struct{})}, &stuck{let: make(chan struct{})}
		close(quick.let)
		set, err := New([]any{hang, quick}, logsafe.Log{Logger: outLog{to: &out}, Limiter: new(logsafe.Limiter)})
		if err != nil {
			t.Fatal(err)
		}
		h := set.Calls()
		all := func() { // of each kind one
			h.Connected(event.ConnectAttemptInfo{ClientID: "id", Address: "address"})
			h.Disconnected(event.ConnectionLostInfo{ClientID: "id", Address: "address", Err: errors.New("lost")})
			h.SessionLost(event.SessionLostInfo{ClientID: "id", Unfinished: 1})
			h.Subscribed(event.SubscribeInfo{Granted: 1})
			h.Subscribed(event.SubscribeInfo{Filter: "a", AskedQoS: 2, GrantedQoS: 1})
			h.Held(event.ParkedKey{})
			set.Gap(event.GapInfo{})
			set.Outbox()(event.OutboxInfo{})
			h.Dropped(event.UnhandledInfo{QueueFull: 1, Unmatched: 2, IllFormed: 3, UnmatchedKept: 4})
		}
		all()
		synctest.Wait()
		if quick.calls != 9 || hang.calls != 0 {
			t.Errorf("%d calls of the other hook, want 9", quick.calls)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		began := time.Now()
		set.Wait(ctx)
		if took := time.Since(began); took != time.Second+grace {
			t.Errorf("waited for %v", took)
		}
		for range maxQueued {
			all()
			synctest.Wait()
		}
		if n := strings.Count(out.String(), "a hook does not return"); n != 1 {
			t.Errorf("said %d times", n)
		}
		close(hang.let)
		set.Wait(t.Context())
		if hang.calls != maxQueued+1 { // and the one that hung
			t.Errorf("%d calls, want %d", hang.calls, maxQueued+1)
		}
		if want := []event.UnhandledInfo{{QueueFull: maxQueued + 1, Unmatched: 2 * (maxQueued + 1), IllFormed: 3 * (maxQueued + 1), UnmatchedKept: 4 * (maxQueued + 1)}}; len(hang.drops) != 1 || hang.drops[0] != want[0] {
			t.Errorf("told of drops %+v, want %+v", hang.drops, want)
		}
		all()
		set.Wait(t.Context())
		if len(hang.drops) != 2 || hang.drops[1].QueueFull != 1 {
			t.Errorf("then told of drops %+v", hang.drops)
		}
	})
}

// outLog writes warnings, and nothing else.
type outLog struct {
	logsafe.Logger // nil: these tests expect no other lines

	to io.Writer
}

func (l outLog) Info(string, ...any) {}
func (l outLog) Warn(message string, fields ...any) {
	_, _ = fmt.Fprintln(l.to, "WARN msg="+message, fields)
}

func (l outLog) Error(message string, fields ...any) {
	_, _ = fmt.Fprintln(l.to, "ERROR msg="+message, fields)
}
