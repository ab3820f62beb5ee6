package hook

import (
	"bytes"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/logsafe"
)

// blocked is a hook that hangs, for what a sender causes and for what it does not.
type blocked struct {
	let              chan struct{}
	outbox, gaps, no int
}

func (b *blocked) OnOutbox(event.OutboxInfo)             { <-b.let; b.outbox++ }
func (b *blocked) OnGap(event.GapInfo)                   { <-b.let; b.gaps++ }
func (b *blocked) OnReplyDropped(event.ReplyDroppedInfo) { <-b.let; b.no++ }

// Calls that a sender can cause at will take no room from calls of other kinds.
func TestHookIsToldOfOtherKinds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		b := &blocked{let: make(chan struct{})}
		set, err := New([]any{b}, logsafe.Log{Logger: outLog{to: &out}, Limiter: new(logsafe.Limiter)})
		if err != nil {
			t.Fatal(err)
		}
		for range 3 * maxQueued {
			set.ReplyDropped(event.ReplyDroppedInfo{})
			set.Gap(event.GapInfo{})
		}
		for range 100 {
			set.Outbox()(event.OutboxInfo{})
		}
		synctest.Wait()
		close(b.let)
		set.Wait(t.Context())
		if b.outbox != 100 || b.gaps < maxQueuedOfSenders || b.no < maxQueuedOfSenders || b.gaps+b.no > 2*maxQueuedOfSenders+2 {
			t.Errorf("told of the outbox %d times, want 100; of gaps %d and replies %d times", b.outbox, b.gaps, b.no)
		}
		if n := strings.Count(out.String(), "a hook does not return"); n != 1 {
			t.Errorf("said %d times", n)
		}
	})
}
