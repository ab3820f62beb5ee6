package delivery

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"pgregory.net/rapid"
)

// recorder collects what a ledger released.
type recorder struct {
	mu   sync.Mutex
	acks []Ack
}

func (r *recorder) emit(acks []Ack) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.acks = append(r.acks, acks...)
}

func (r *recorder) seen() []Ack {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.acks)
}

// pulled is a ledger whose acknowledgements are taken as soon as they are
// released.
type pulled struct{ *Ledger }

func newPulled(relaxed bool, emit func([]Ack)) pulled {
	var l *Ledger
	var writer sync.Mutex
	l = NewLedger(relaxed, func() {
		writer.Lock()
		defer writer.Unlock()
		if acks := l.Take(nil); len(acks) > 0 && emit != nil {
			emit(acks)
		}
	})
	return pulled{l}
}

func (p pulled) Add(id uint16, qos byte) *Entry {
	e := new(Entry)
	p.Ledger.Add(e, id, qos)
	return e
}

func wantAcks(t *testing.T, r *recorder, want ...Ack) {
	t.Helper()
	if got := r.seen(); !slices.Equal(got, want) {
		t.Fatalf("acks = %v, want %v", got, want)
	}
}

// T35: acknowledgements are released in receive order, never before that of a
// message that is not done.
func TestT35AcksInReceiveOrder(t *testing.T) {
	t.Parallel()
	var r recorder
	l := newPulled(false, r.emit)
	a, b, c := l.Add(1, 1), l.Add(2, 2), l.Add(3, 1)

	c.Done()
	b.Done()
	wantAcks(t, &r)
	a.Done()
	wantAcks(t, &r, Ack{1, 1}, Ack{2, 2}, Ack{3, 1})
	a.Done()
	wantAcks(t, &r, Ack{1, 1}, Ack{2, 2}, Ack{3, 1})
	if n := l.Len(); n != 0 {
		t.Errorf("Len = %d, want 0", n)
	}
}

func TestRelaxedLedgerAcksAtOnce(t *testing.T) {
	t.Parallel()
	var r recorder
	l := newPulled(true, r.emit)
	a, b := l.Add(1, 1), l.Add(2, 1)
	b.Done()
	wantAcks(t, &r, Ack{2, 1})
	b.Done()
	a.Done()
	wantAcks(t, &r, Ack{2, 1}, Ack{1, 1})
}

// T5: an acknowledgement belongs to one connection.
func TestT5NoAckAfterTheConnectionChanged(t *testing.T) {
	t.Parallel()
	var r1, r2 recorder
	first := newPulled(false, r1.emit)
	a, b, c := first.Add(1, 1), first.Add(2, 1), first.Add(3, 1)
	b.Done()
	if n := first.Retire(); n != 3 {
		t.Errorf("Retire = %d, want 3", n)
	}
	a.Done()
	wantAcks(t, &r1)

	second := newPulled(false, r2.emit)
	head := second.Add(9, 1)
	for i, e := range []*Entry{a, b, c} {
		if !second.Adopt(e, uint16(11+i), 1) {
			t.Fatalf("entry %d was not adopted", i)
		}
	}
	wantAcks(t, &r2)
	head.Done()
	wantAcks(t, &r2, Ack{9, 1}, Ack{11, 1}, Ack{12, 1})
	c.Done()
	wantAcks(t, &r2, Ack{9, 1}, Ack{11, 1}, Ack{12, 1}, Ack{13, 1})
	wantAcks(t, &r1)
}

// D10: only an entry whose acknowledgement was not written can be adopted.
func TestAdoptRefusesWhatWasAcknowledgedOrIsStillLive(t *testing.T) {
	t.Parallel()
	var r recorder
	first, second := newPulled(false, r.emit), newPulled(false, nil)
	acked, live := first.Add(1, 1), first.Add(2, 1)
	acked.Done()
	if second.Adopt(live, 5, 1) {
		t.Error("adopted from a live ledger")
	}
	first.Retire()
	if second.Adopt(acked, 5, 1) {
		t.Error("adopted an acknowledged entry")
	}
	if n := second.Len(); n != 0 {
		t.Errorf("Len = %d, want 0", n)
	}
	if !second.Adopt(live, 5, 1) {
		t.Error("an open entry of a retired ledger was refused")
	}
}

func TestEntryOfARetiredLedgerCanBeAdopted(t *testing.T) {
	t.Parallel()
	var r recorder
	gone, next := newPulled(false, r.emit), newPulled(false, r.emit)
	gone.Retire()
	e := gone.Add(1, 1)
	e.Done()
	wantAcks(t, &r)
	if !next.Adopt(e, 7, 1) {
		t.Fatal("not adopted")
	}
	wantAcks(t, &r, Ack{7, 1})
	if n := gone.Retire(); n != 0 {
		t.Errorf("second Retire = %d, want 0", n)
	}
}

// A write error ends the connection after acknowledgements were taken.
func TestRetireBehindWhatWasTaken(t *testing.T) {
	t.Parallel()
	var l pulled
	var got []Ack
	l = newPulled(false, func(acks []Ack) {
		got = append(got, acks...)
		l.Retire()
	})
	a, b := l.Add(1, 1), l.Add(2, 1)
	a.Done()
	b.Done()
	if want := []Ack{{1, 1}}; !slices.Equal(got, want) {
		t.Errorf("acks = %v, want %v", got, want)
	}
}

func TestConcurrentDoneKeepsReceiveOrder(t *testing.T) {
	t.Parallel()
	for _, relaxed := range []bool{false, true} {
		t.Run(fmt.Sprintf("relaxed=%v", relaxed), func(t *testing.T) {
			t.Parallel()
			const n, workers = 20_000, 8
			var r recorder
			var emitting atomic.Int32
			l := newPulled(relaxed, func(acks []Ack) {
				if emitting.Add(1) != 1 {
					t.Error("emit runs beside itself")
				}
				r.emit(acks)
				runtime.Gosched()
				emitting.Add(-1)
			})
			entries := make([]*Entry, n)
			for i := range entries {
				entries[i] = l.Add(uint16(i), 1)
			}
			order := rand.Perm(n)
			var wg sync.WaitGroup
			for w := range workers {
				wg.Go(func() {
					for i := w; i < n; i += workers {
						entries[order[i]].Done()
						entries[order[i/2]].Done()
					}
				})
			}
			wg.Wait()
			got := r.seen()
			if len(got) != n {
				t.Fatalf("%d acks, want %d", len(got), n)
			}
			if relaxed {
				slices.SortFunc(got, func(a, b Ack) int { return int(a.PacketID) - int(b.PacketID) })
			}
			for i, a := range got {
				if a.PacketID != uint16(i) {
					t.Fatalf("ack %d is of message %d", i, a.PacketID)
				}
			}
		})
	}
}

// A Done during an adoption is neither lost nor doubled.
func TestDoneBetweenLeavingAndEntering(t *testing.T) {
	t.Parallel()
	for _, relaxed := range []bool{false, true} {
		var r recorder
		old, next := newPulled(relaxed, nil), newPulled(relaxed, r.emit)
		e := old.Add(1, 1)
		old.Retire()
		if !e.leave(next.Ledger) {
			t.Fatal("did not leave")
		}
		e.Done()
		wantAcks(t, &r)
		next.enter(e, 2, 1)
		wantAcks(t, &r, Ack{2, 1})
		if n := next.Len(); n != 0 {
			t.Errorf("Len = %d", n)
		}
	}
}

// Adopt races with Done: each message is acknowledged exactly once.
func TestConcurrentAdoptAndDone(t *testing.T) {
	t.Parallel()
	for _, relaxed := range []bool{false, true} {
		for range 200 {
			var r recorder
			old, next := newPulled(relaxed, nil), newPulled(relaxed, r.emit)
			entries := make([]*Entry, 50)
			for i := range entries {
				entries[i] = old.Add(uint16(i), 1)
			}
			old.Retire()
			var wg sync.WaitGroup
			wg.Go(func() {
				for _, e := range entries {
					e.Done()
				}
			})
			wg.Go(func() {
				for i, e := range entries {
					next.Adopt(e, uint16(100+i), 1)
				}
			})
			wg.Wait()
			got := r.seen()
			if len(got) != len(entries) {
				t.Fatalf("relaxed=%v: %d acks, want %d", relaxed, len(got), len(entries))
			}
			for i, a := range got {
				if !relaxed && a.PacketID != uint16(100+i) {
					t.Fatalf("ack %d is of message %d", i, a.PacketID)
				}
			}
		}
	}
}

// modelEntry and modelLedger are the naive model: a list that is scanned after
// every step.
type modelEntry struct {
	entry *Entry
	done  bool
	acked bool
	home  *modelLedger
}

type modelLedger struct {
	real    pulled
	rec     *recorder
	relaxed bool
	retired bool
	rows    []modelRow
	want    []Ack
}

type modelRow struct {
	entry *modelEntry
	ack   Ack
}

func (m *modelLedger) scan() {
	var keep []modelRow
	blocked := false
	for _, row := range m.rows {
		if !m.retired && row.entry.done && !blocked {
			row.entry.acked = true
			m.want = append(m.want, row.ack)
			continue
		}
		blocked = !m.relaxed
		keep = append(keep, row)
	}
	m.rows = keep
}

// fataler is a *testing.T or *rapid.T.
type fataler interface {
	Fatalf(format string, args ...any)
}

// modelRun applies the same steps to ledgers and to their models.
type modelRun struct {
	relaxed bool
	live    *modelLedger
	ledgers []*modelLedger
	entries []*modelEntry
}

func newModelRun(relaxed bool) *modelRun {
	m := &modelRun{relaxed: relaxed}
	m.connect()
	return m
}

func (m *modelRun) connect() {
	rec := &recorder{}
	m.live = &modelLedger{real: newPulled(m.relaxed, rec.emit), rec: rec, relaxed: m.relaxed}
	m.ledgers = append(m.ledgers, m.live)
}

func (m *modelRun) add(a Ack) {
	e := &modelEntry{entry: m.live.real.Add(a.PacketID, a.QoS), home: m.live}
	m.entries = append(m.entries, e)
	m.live.rows = append(m.live.rows, modelRow{e, a})
}

func (m *modelRun) done(e *modelEntry) {
	e.entry.Done()
	e.done = true
	e.home.scan()
}

func (m *modelRun) cut(t fataler) {
	if got := m.live.real.Retire(); got != len(m.live.rows) {
		t.Fatalf("Retire = %d, want %d", got, len(m.live.rows))
	}
	m.live.retired = true
	m.connect()
}

func (m *modelRun) redeliver(t fataler, e *modelEntry, a Ack) {
	want := e.home.retired && !e.acked
	if got := m.live.real.Adopt(e.entry, a.PacketID, a.QoS); got != want {
		t.Fatalf("Adopt = %v, want %v", got, want)
	}
	if want {
		e.home = m.live
		m.live.rows = append(m.live.rows, modelRow{e, a})
		m.live.scan()
	}
}

func (m *modelRun) check(t fataler) {
	if got := m.live.real.Len(); got != len(m.live.rows) {
		t.Fatalf("Len = %d, want %d", got, len(m.live.rows))
	}
	for i, l := range m.ledgers {
		if got := l.rec.seen(); !slices.Equal(got, l.want) {
			t.Fatalf("connection %d: acks = %v, want %v", i, got, l.want)
		}
	}
}

func TestLedgerAgainstModel(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		m := newModelRun(rapid.Bool().Draw(t, "relaxed"))
		pick := func(t *rapid.T) *modelEntry {
			if len(m.entries) == 0 {
				t.Skip("nothing received yet")
			}
			return m.entries[rapid.IntRange(0, len(m.entries)-1).Draw(t, "entry")]
		}
		packet := func(t *rapid.T) Ack {
			return Ack{rapid.Uint16().Draw(t, "id"), rapid.SampledFrom([]byte{1, 2}).Draw(t, "qos")}
		}
		t.Repeat(map[string]func(*rapid.T){
			"add":       func(t *rapid.T) { m.add(packet(t)) },
			"done":      func(t *rapid.T) { m.done(pick(t)) },
			"cut":       func(t *rapid.T) { m.cut(t) },
			"redeliver": func(t *rapid.T) { m.redeliver(t, pick(t), packet(t)) },
			"":          func(t *rapid.T) { m.check(t) },
		})
	})
}

// FuzzLedger applies steps of two bytes each: what to do, and to which message.
func FuzzLedger(f *testing.F) {
	f.Add([]byte("\x00\x00\x00\x00\x00\x00\x01\x02\x01\x01\x01\x00"), false)             // done in reverse order
	f.Add([]byte("\x00\x00\x00\x00\x02\x00\x03\x01\x01\x00\x03\x00\x01\x01"), false)     // cut, both delivered again
	f.Add([]byte("\x00\x00\x02\x00\x01\x00\x03\x00\x02\x00\x03\x00"), true)              // done while disconnected
	f.Add([]byte("\x00\x00\x01\x00\x02\x00\x03\x00\x00\x07\x01\x01\x01\x01"), true)      // acknowledged, delivered again
	f.Add([]byte("\x00\x00\x02\x00\x02\x00\x03\x00\x03\x00\x02\x00\x03\x00\x01"), false) // across three connections
	f.Fuzz(func(t *testing.T, steps []byte, relaxed bool) {
		m := newModelRun(relaxed)
		for ; len(steps) > 1 && len(m.ledgers) < 20; steps = steps[2:] {
			ack := Ack{PacketID: uint16(steps[1]) + 1, QoS: 1 + steps[1]&1}
			switch what := steps[0] % 4; {
			case what == 2:
				m.cut(t)
			case what == 0 || len(m.entries) == 0:
				m.add(ack)
			case what == 1:
				m.done(m.entries[int(steps[1])%len(m.entries)])
			default:
				m.redeliver(t, m.entries[int(steps[1])%len(m.entries)], ack)
			}
			m.check(t)
		}
	})
}

func BenchmarkLedgerAddDone(b *testing.B) {
	for _, relaxed := range []bool{false, true} {
		b.Run(fmt.Sprintf("relaxed=%v", relaxed), func(b *testing.B) {
			b.ReportAllocs()
			l := newPulled(relaxed, func([]Ack) {})
			for i := range b.N {
				l.Add(uint16(i), 1).Done()
			}
		})
	}
}

// BenchmarkLedgerWindow finishes a window of messages newest first, the worst
// case: one Take returns all of them.
func BenchmarkLedgerWindow(b *testing.B) {
	b.ReportAllocs()
	l := newPulled(false, func([]Ack) {})
	var window [256]*Entry
	for i := 0; i < b.N; i += len(window) {
		for j := range window {
			window[j] = l.Add(uint16(j), 1)
		}
		for j := len(window) - 1; j >= 0; j-- {
			window[j].Done()
		}
	}
}
