package bridge

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-kratos/kratos/v2/log"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/client"
)

// A flood of gaps of one sender, which makes up numbers, leaves a line of the log for
// those of others.
func TestGapLogOfOthers(t *testing.T) {
	t.Parallel()
	var l gapLog
	now, lines := time.Now(), 0
	for i := range 10_000 {
		if ok, _ := l.may(now, fmt.Sprintf("devices/A/%d/data", i)); ok {
			lines++
		}
	}
	if lines != gapLines {
		t.Errorf("%d lines of one sender, want %d", lines, gapLines)
	}
	for i := range 2 {
		if ok, left := l.may(now, "devices/B/data"); ok != (i == 0) || ok && left != 10_000-gapLines {
			t.Errorf("%d. gap of another one: %t, %d left out", i+1, ok, left)
		}
	}
	for i := range 10_000 {
		_, _ = l.may(now, fmt.Sprint("devices/", i))
	}
	if len(l.had) != gapSenders {
		t.Errorf("%d senders are remembered", len(l.had))
	}
}

// Reports of gaps that wait to be told are bounded, and those of one sender leave room
// for those of others.
func TestGapReportsOfOthers(t *testing.T) {
	t.Parallel()
	g, now := watching(), time.Now()
	g.tell = func([]event.GapInfo) {}
	waiting := func(topic string, from uint64, n int) {
		for i := range n {
			g.note("s", topic, from+2*uint64(i), now)
		}
	}
	waiting("devices/A/data", 1, 3*maxReports)
	waiting("devices/B/data", 1, 3)
	for i := range 3 * gapSenders {
		waiting(fmt.Sprintf("devices/%d/data", i), 1, 2)
	}
	n := 0
	for _, r := range g.reports {
		if r.Topic == "devices/B/data" {
			n++
		}
	}
	if n != 1 || len(g.reports) != maxReports+gapSenders-1 {
		t.Errorf("%d reports of another one, %d in all", n, len(g.reports))
	}
	g.flush()
	waiting("devices/A/data", 10_001, 1)
	if len(g.reports) != 1 || len(g.waiting) != 1 {
		t.Errorf("%d reports after a flush", len(g.reports))
	}
}

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
		set.log = client.NewLog(log.NewStdLogger(&out))
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
