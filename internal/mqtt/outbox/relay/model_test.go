package relay_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/kratos-mqtt/kratos-mqtt/event/outbox"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/outbox/relay"
)

var (
	errDown    = errors.New("not connected")
	errRefused = errors.New("topic refused for ever")
	errDisk    = errors.New("disk trouble")
)

func permanent(err error) bool { return errors.Is(err, errRefused) }

// action is a step of a random history.
type action struct {
	kind string
	n    int
}

var kinds = []string{
	"append", "append", "append", "append", "ack", "ack", "ack", "ack", "fail", "refuse", "advance",
	"lose", "up", "syncFail", "syncWork", "storeFail", "storeWork", "restart", "stop", "late", "twice",
}

func actions() *rapid.Generator[[]action] {
	one := rapid.Custom(func(t *rapid.T) action {
		return action{kind: rapid.SampledFrom(kinds).Draw(t, "kind"), n: rapid.IntRange(0, 1000).Draw(t, "n")}
	})
	return rapid.Custom(func(t *rapid.T) []action {
		most := rapid.SampledFrom([]int{5, 20, 200}).Draw(t, "most")
		return rapid.SliceOfN(one, most/2, most).Draw(t, "actions")
	})
}

// sending is an attempt without an outcome yet.
type sending struct {
	e    *outbox.Entry
	done func(error)
}

// world has the relay, a store and a broker that follow the history, and what is known of
// each entry.
type world struct {
	t     *testing.T
	store *faultyStore
	began time.Time
	o     relay.Options
	relay *relay.Relay
	end   func() // ends the relay at once
	stop  func() // stops the relay in order

	mu       sync.Mutex
	problems []string
	trace    []string
	flying   []sending
	old      []sending // attempts that had their outcome
	syncFail bool
	autoAck  bool
	facts    map[uint64]*facts // by seq
	// Of the current relay:
	failed map[string]map[uint64]bool // by key: failed and not acknowledged since
	last   map[string]uint64          // by key: the highest seq that was sent
}

type facts struct {
	e           *outbox.Entry
	acked       bool // by the broker, ever
	quarantined bool
	late        bool // became visible after later ones
	// Of the current relay:
	sends, acks int
	ackedAt     time.Time
	resend      bool // was acknowledged within KeepAcknowledged when the connection was lost
}

// note records what happened, for the message of a failed test.
func (w *world) note(format string, args ...any) {
	w.trace = append(w.trace, fmt.Sprintf("%v ", time.Since(w.began))+fmt.Sprintf(format, args...))
}

func (w *world) problem(format string, args ...any) {
	w.note("PROBLEM "+format, args...)
	w.problems = append(w.problems, fmt.Sprintf(format, args...))
}

func (w *world) start() {
	r, err := relay.New(w.store, w.send, w.o)
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(w.t.Context())
	ran := make(chan error, 1)
	go func() { ran <- r.Run(ctx) }()
	w.relay = r
	w.end = func() {
		cancel()
		<-ran
	}
	w.stop = func() {
		ctx, cancelStop := context.WithTimeout(w.t.Context(), 3*time.Second)
		defer cancelStop()
		_ = r.Stop(ctx)
		cancel()
		<-ran
	}
}

func (w *world) send(_ context.Context, e *outbox.Entry, done func(error)) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.note("send %s/%d", e.Key, e.Seq)
	f := w.facts[e.Seq]
	if f == nil || f.e.ID != e.ID {
		w.problem("%s was sent and never accepted", e.ID)
		return nil
	}
	f.sends++
	for seq := range w.failed[e.Key] {
		if seq < e.Seq {
			w.problem("%s was sent while %d of its key had failed", e.ID, seq)
		}
	}
	switch {
	case f.acks > 1, f.acks == 1 && !f.resend:
		w.problem("%s was sent after %d acknowledgements", e.ID, f.acks)
	case f.sends == 1 && e.Seq < w.last[e.Key] && !f.late:
		w.problem("%s was sent for the first time after %d of its key", e.ID, w.last[e.Key])
	}
	w.last[e.Key] = max(w.last[e.Key], e.Seq)
	if w.syncFail {
		w.mark(e)
		return errDown
	}
	s := sending{e, done}
	if w.autoAck {
		go w.settle(s, nil)
		return nil
	}
	w.flying = append(w.flying, s)
	return nil
}

func (w *world) mark(e *outbox.Entry) {
	if w.failed[e.Key] == nil {
		w.failed[e.Key] = map[uint64]bool{}
	}
	w.failed[e.Key][e.Seq] = true
}

// settle ends an attempt with an outcome.
func (w *world) settle(s sending, err error) {
	w.mu.Lock()
	w.note("settle %s/%d %v", s.e.Key, s.e.Seq, err)
	f := w.facts[s.e.Seq]
	switch {
	case err == nil:
		f.acked = true
		f.acks++
		f.ackedAt = time.Now()
		delete(w.failed[s.e.Key], s.e.Seq)
	case permanent(err):
		delete(w.failed[s.e.Key], s.e.Seq)
		f.quarantined = true
	}
	w.old = append(w.old, s)
	w.mu.Unlock()
	s.done(err)
	if err != nil && !permanent(err) { // now the relay knows
		w.mu.Lock()
		w.mark(s.e)
		w.mu.Unlock()
	}
}

func (w *world) take(n int) (sending, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.flying) == 0 {
		return sending{}, false
	}
	i := n % len(w.flying)
	s := w.flying[i]
	w.flying = append(w.flying[:i:i], w.flying[i+1:]...)
	return s, true
}

func (w *world) takeAll() []sending {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := w.flying
	w.flying = nil
	return s
}

func (w *world) append(key string, late bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	e := entry(key, len(w.facts))
	if late {
		w.store.hide()
	}
	if err := w.store.Append(w.t.Context(), e); err != nil {
		w.t.Fatal(err)
	}
	w.facts[e.Seq] = &facts{e: e, late: late}
}

func (w *world) do(a action) {
	w.mu.Lock()
	w.note("%v", a)
	w.mu.Unlock()
	switch a.kind {
	case "append":
		w.append(fmt.Sprint("key", a.n%4), false)
	case "late":
		w.append(fmt.Sprint("key", a.n%4), true)
		w.append(fmt.Sprint("key", a.n/4%4), false)
		synctest.Wait()
		w.store.reveal()
	case "ack", "fail", "refuse":
		if s, ok := w.take(a.n); ok {
			w.settle(s, map[string]error{"ack": nil, "fail": errDown, "refuse": errRefused}[a.kind])
		}
	case "twice": // an attempt that had its outcome gets another one
		w.mu.Lock()
		old := w.old
		w.mu.Unlock()
		if len(old) > 0 {
			old[a.n%len(old)].done([]error{nil, errDown, errRefused}[a.n%3])
		}
	case "advance":
		advance(time.Duration(a.n) * 5 * time.Millisecond)
	case "lose":
		for _, s := range w.takeAll() {
			w.settle(s, errDown)
			synctest.Wait() // until the relay has sent what it began to send
		}
		w.expectResends()
		w.relay.ConnectionLost()
	case "up":
		w.relay.ConnectionUp()
	case "syncFail", "syncWork":
		w.mu.Lock()
		w.syncFail = a.kind == "syncFail"
		w.mu.Unlock()
	case "storeFail":
		w.store.fail(a.n % 8)
	case "storeWork":
		w.store.fail(0)
	case "restart", "stop":
		w.restart(a.kind == "stop")
	}
	synctest.Wait()
}

func (w *world) expectResends() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, f := range w.facts {
		if f.acks == 1 && time.Since(f.ackedAt) < w.o.KeepAcknowledged {
			f.resend = true
		}
	}
}

func (w *world) restart(ordered bool) {
	if ordered {
		w.stop()
	} else {
		w.end()
	}
	w.mu.Lock()
	w.flying, w.old = nil, nil
	w.failed, w.last = map[string]map[uint64]bool{}, map[string]uint64{}
	for seq, f := range w.facts {
		f.sends, f.acks, f.resend = 0, 0, false
		if f.quarantined && w.store.has(seq) { // not yet noted when the relay ended
			f.quarantined = false
		}
	}
	w.mu.Unlock()
	w.start()
}

// finish ends all faults and checks the result.
func (w *world) finish() {
	w.store.fail(0)
	w.mu.Lock()
	w.syncFail, w.autoAck = false, true
	w.mu.Unlock()
	for _, s := range w.takeAll() {
		w.settle(s, nil)
	}
	ctx, cancel := context.WithTimeout(w.t.Context(), 10*time.Minute)
	defer cancel()
	err := w.relay.Flush(ctx)
	for errors.Is(err, relay.ErrRefused) && ctx.Err() == nil { // it does not wait for unanswered entries
		advance(time.Second)
		err = w.relay.Flush(ctx)
	}
	if err != nil {
		w.problem("Flush: %v; health %+v", err, w.relay.Health(ctx))
	}
	h := w.relay.Health(ctx)
	if h.Depth != 0 || h.InFlight != 0 || h.Held != 0 || h.ClosedKeys != 0 || h.UnansweredKeys != 0 || h.Err != nil {
		w.problem("health at the end: %+v", h)
	}
	w.stop()
	w.mu.Lock()
	defer w.mu.Unlock()
	for seq, f := range w.facts {
		switch {
		case f.quarantined != w.store.quarantined(seq):
			w.problem("%s: refused %v, quarantined %v", f.e.ID, f.quarantined, !f.quarantined)
		case !f.acked && !f.quarantined:
			w.problem("%s was accepted and never acknowledged", f.e.ID)
		case f.resend && f.acks != 2 && !f.quarantined:
			w.problem("%s was held when the connection was lost, and has %d acknowledgements", f.e.ID, f.acks)
		}
	}
	w.problems = append(w.problems, w.store.problems(w)...)
}

func advance(d time.Duration) { <-time.After(d) }

// Whatever happens in whatever order: accepted entries are sent, in order per key, and
// deleted only after their acknowledgement and KeepAcknowledged.
func TestRelayModel(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		history := actions().Draw(rt, "history")
		o := relay.Options{
			KeepAcknowledged: time.Duration(rapid.SampledFrom([]int{0, 0, 1, 4}).Draw(rt, "hold")) * time.Second,
			Batch:            rapid.SampledFrom([]int{1, 2, 3, 16}).Draw(rt, "batch"), Permanent: permanent,
		}
		if rapid.Bool().Draw(rt, "silent") {
			o.Unanswered = func(err error) bool { return errors.Is(err, errDown) }
		}
		var problems, trace []string
		synctest.Test(t, func(t *testing.T) {
			w := &world{
				t: t, o: o, began: time.Now(), facts: map[uint64]*facts{},
				failed: map[string]map[uint64]bool{}, last: map[string]uint64{},
			}
			w.store = newFaultyStore(t, w)
			w.start()
			synctest.Wait()
			for _, a := range history {
				w.do(a)
			}
			w.finish()
			problems = w.problems
			trace = w.trace
		})
		if len(problems) > 0 {
			rt.Fatalf("%s\nHistory with %+v:\n%s", strings.Join(problems, "\n"), o, strings.Join(trace, "\n"))
		}
	})
}
