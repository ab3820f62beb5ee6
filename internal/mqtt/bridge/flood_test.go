package bridge

import (
	"bytes"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/kratos-mqtt/kratos-mqtt/event"
)

// blocked is a hook that hangs, for what a sender causes and for what it does not.
type blocked struct {
	let              chan struct{}
	outbox, gaps, no int
}

func (b *blocked) OnOutbox(event.OutboxInfo)             { <-b.let; b.outbox++ }
func (b *blocked) OnGap(event.GapInfo)                   { <-b.let; b.gaps++ }
func (b *blocked) OnReplyDropped(event.ReplyDroppedInfo) { <-b.let; b.no++ }

// Who causes calls of a slow hook at will takes no room of those of other kinds.
func TestHookIsToldOfOtherKinds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		b := &blocked{let: make(chan struct{})}
		set, err := sortHooks([]any{b})
		if err != nil {
			t.Fatal(err)
		}
		set.log = outLog{&out}
		for range 3 * maxTold {
			later(set.reply, event.ReplyHook.OnReplyDropped, event.ReplyDroppedInfo{})
			later(set.gap, event.GapHook.OnGap, event.GapInfo{})
		}
		for range 100 {
			later(set.outbox, event.OutboxHook.OnOutbox, event.OutboxInfo{})
		}
		synctest.Wait()
		close(b.let)
		set.wait(t.Context())
		if b.outbox != 100 || b.gaps < maxToldOfSenders || b.no < maxToldOfSenders || b.gaps+b.no > 2*maxToldOfSenders+2 {
			t.Errorf("told of the outbox %d times, want 100; of gaps %d and replies %d times", b.outbox, b.gaps, b.no)
		}
		if n := strings.Count(out.String(), "a hook does not return"); n != 1 {
			t.Errorf("said %d times", n)
		}
	})
}
