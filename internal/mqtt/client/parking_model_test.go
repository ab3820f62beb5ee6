package client

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/event/deadletter"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/delivery"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/logsafe"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/session"
)

// plan is one run of the model.
type plan struct {
	seed                         uint64
	keys, messages, crashes      int
	fails, storeFails, permanent float64 // probabilities
	bound, concurrency           int
	parkLimit                    time.Duration
}

// TestParkingModel lets handlers, the store and the process fail at random. An acknowledged
// message must be handled or in the store, the first attempts of a key must be in order,
// and in the end every message must be handled or a dead letter.
func TestParkingModel(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		p := plan{
			seed: rapid.Uint64().Draw(rt, "seed"), keys: rapid.IntRange(1, 5).Draw(rt, "keys"),
			messages: rapid.IntRange(10, 60).Draw(rt, "messages"), crashes: rapid.IntRange(1, 4).Draw(rt, "crashes"),
			fails: rapid.Float64Range(0.3, 0.95).Draw(rt, "fails"), storeFails: rapid.Float64Range(0, 0.5).Draw(rt, "store fails"),
			permanent: rapid.Float64Range(0, 0.1).Draw(rt, "permanent"), bound: rapid.SampledFrom([]int{0, 0, 3, 20}).Draw(rt, "bound"),
			concurrency: rapid.IntRange(1, 4).Draw(rt, "concurrency"),
			parkLimit:   rapid.SampledFrom([]time.Duration{time.Second, time.Minute, 24 * time.Hour}).Draw(rt, "park limit"),
		}
		var problems []string
		synctest.Test(t, func(t *testing.T) { problems = simulate(t, p) })
		if len(problems) > 0 {
			rt.Fatalf("%+v: %s", p, strings.Join(problems, "\n"))
		}
	})
}

// world is the broker, the store and the effects of the model.
type world struct {
	plan
	*deadletter.Memory

	mu       sync.Mutex
	rand     *rand.Rand
	calm     bool // nothing fails any more
	sent     []*sent
	problems []string
}

// sent is a message that the broker keeps until it is acknowledged.
type sent struct {
	world   *world
	n       int
	key     string
	acked   bool
	handled bool
	dead    bool
}

func (w *world) problem(format string, args ...any) {
	w.problems = append(w.problems, fmt.Sprintf(format, args...))
}

func (w *world) chance(p float64) bool { return !w.calm && w.rand.Float64() < p }

// handle is the subscription's handler.
func (w *world) handle(ctx context.Context, d *Delivery) error {
	w.mu.Lock()
	took := time.Duration(w.rand.IntN(50)) * time.Millisecond
	w.mu.Unlock()
	select {
	case <-time.After(took):
	case <-ctx.Done():
		return ctx.Err()
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	var n int
	_, _ = fmt.Sscan(string(d.Payload), &n)
	switch {
	case w.chance(w.permanent):
		return errPermanent
	case w.chance(w.fails):
		return errors.New("not now")
	}
	m := w.sent[n]
	for _, before := range w.sent[:n] {
		if !m.handled && before.key == m.key && !before.handled && !before.dead {
			w.problem("%d was handled before %d of the same key", n, before.n)
		}
	}
	m.handled = true
	return nil
}

var errPermanent = errors.New("permanent")

// Put fails before or after it has stored the letter.
func (w *world) Put(ctx context.Context, l *deadletter.Letter) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.chance(w.storeFails) {
		return errors.New("store fails")
	}
	if err := w.Memory.Put(ctx, l); err != nil {
		return err
	}
	var n int
	_, _ = fmt.Sscan(string(l.Payload), &n)
	w.sent[n].dead = w.sent[n].dead || l.State == deadletter.Dead
	if w.chance(w.storeFails) {
		return errors.New("store says that it failed")
	}
	return nil
}

// Get and Delete fail, too.
func (w *world) Get(ctx context.Context, id string) (*deadletter.Letter, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.chance(w.storeFails) {
		return nil, errors.New("store fails")
	}
	return w.Memory.Get(ctx, id)
}

func (w *world) Delete(ctx context.Context, ids ...string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.chance(w.storeFails) {
		return errors.New("store fails")
	}
	return w.Memory.Delete(ctx, ids...)
}

// Done acknowledges the message.
func (m *sent) Done() {
	w := m.world
	w.mu.Lock()
	defer w.mu.Unlock()
	m.acked = true
	if m.handled || m.dead {
		return
	}
	list, _ := w.List(context.Background(), deadletter.Query{State: deadletter.Parked, Limit: 1000})
	for _, l := range list {
		if string(l.Payload) == fmt.Sprint(m.n) {
			return
		}
	}
	w.problem("%d was acknowledged and is nowhere", m.n)
}

func simulate(t *testing.T, p plan) []string {
	w := &world{plan: p, Memory: deadletter.NewBoundedMemory(deadletter.Bounds{Letters: p.bound, Share: 1}), rand: rand.New(rand.NewPCG(p.seed, 1))}
	for n := range p.messages {
		w.sent = append(w.sent, &sent{world: w, n: n, key: fmt.Sprint(n % p.keys)})
	}
	next := 0
	for crash := range p.crashes + 1 {
		w.mu.Lock()
		w.calm = crash == p.crashes
		w.mu.Unlock()
		if w.calm && p.bound > 0 {
			w.Memory = w.grown()
		}
		r, s := w.start(t)
		for _, m := range w.sent[:next] { // redelivered
			w.deliver(r, s, m)
		}
		for ; next < len(w.sent) && (w.calm || w.draw(20) > 0); next++ {
			w.deliver(r, s, w.sent[next])
			time.Sleep(time.Duration(w.draw(100)) * time.Millisecond) //nolint:forbidigo // advances the clock of synctest
		}
		time.Sleep(time.Duration(w.draw(60_000)) * time.Millisecond) //nolint:forbidigo // advances the clock of synctest
		for range 100 {
			if !w.calm || w.over(r) {
				break
			}
			time.Sleep(time.Minute) //nolint:forbidigo // advances the clock of synctest
		}
		r.sub.backlogs.Close()
		r.sub.sched.Close()
		synctest.Wait()
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, m := range w.sent {
		if !m.acked || !m.handled && !m.dead {
			w.problem("in the end %+v", *m)
		}
	}
	if st, _ := w.Stats(t.Context()); st.Parked > 0 {
		w.problem("%d are parked in the end", st.Parked)
	}
	return w.problems
}

func (w *world) draw(n int) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.rand.IntN(n)
}

// grown enlarges the store, or leaves it full of dead letters.
func (w *world) grown() *deadletter.Memory {
	more := deadletter.NewMemory(0)
	list, _ := w.List(context.Background(), deadletter.Query{Limit: 1000})
	for _, l := range list {
		_ = more.Put(context.Background(), l)
	}
	return more
}

func (w *world) over(r *run) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, m := range w.sent {
		if !m.acked {
			return false
		}
	}
	parked, _ := r.sub.backlogs.Count()
	return parked == 0
}

// start starts a process without a connection; messages are put into its scheduler.
func (w *world) start(t *testing.T) (*run, *Subscription) {
	t.Helper()
	addrs, err := ParseAddresses([]string{"mqtt://127.0.0.1:1"})
	if err != nil {
		t.Fatal(err)
	}
	c, err := NewClient(Config{
		Connection: Connection{Addresses: addrs, ClientID: "model"}, Logger: logsafe.Silence, DeadLetters: w, ParkLimit: w.parkLimit, Concurrency: w.concurrency,
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	s := on("+", w.handle)
	s.Exhausted, s.ParkMaxAttempts = event.ExhaustedPark, -1
	s.MaxAttempts, s.Classify = 3, func(err error) event.Verdict {
		if errors.Is(err, errPermanent) {
			return event.VerdictDeadLetter
		}
		return event.VerdictRetry
	}
	if _, err := c.Subscribe(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	r, err := newRun(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.parking.Restore(t.Context()); err != nil {
		t.Fatal(err)
	}
	return r, s
}

func (w *world) deliver(r *run, s *Subscription, m *sent) {
	w.mu.Lock()
	acked := m.acked
	w.mu.Unlock()
	if acked {
		return
	}
	in := &session.Inbound{Topic: m.key, Payload: fmt.Append(nil, m.n), QoS: 1}
	delivery.NewLedger(false, m.Done).Add(in.Entry(), 1, in.QoS)
	r.sub.sched.Submit(delivery.Item{Task: s.deliver(new(Delivery), in), Lane: s.lane, Key: r.sub.sched.Key(m.key), Must: true})
}
