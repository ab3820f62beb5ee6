package outboxsql_test

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event/outbox"
	"github.com/kratos-mqtt/kratos-mqtt/event/outbox/outboxsql"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/outbox/relay"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
)

const testLease = 500 * time.Millisecond

// replica is a process that shares the table, with a broker of its own that can
// be away: then its send function blocks, as one without a connection does.
type replica struct {
	store *outboxsql.Store
	relay *relay.Relay

	mu   sync.Mutex
	up   chan struct{} // closed while the broker is there
	mute bool          // the broker takes what is sent, and does not answer
	sent []uint64
}

func newReplica(t *testing.T, db *sql.DB, o outboxsql.Options, ro relay.Options) *replica {
	t.Helper()
	o.Lease = cmp.Or(o.Lease, testLease)
	r := &replica{store: store(t, db, o), up: make(chan struct{})}
	close(r.up)
	ro.PollInterval = 20 * time.Millisecond
	var err error
	if r.relay, err = relay.New(r.store, r.send, ro); err != nil {
		t.Fatal(err)
	}
	return r
}

func (r *replica) run(t *testing.T) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- r.relay.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	t.Cleanup(stop)
	return stop
}

func (r *replica) send(ctx context.Context, e *outbox.Entry, done func(error)) error {
	r.mu.Lock()
	up := r.up
	r.mu.Unlock()
	select {
	case <-up:
	case <-ctx.Done():
		return ctx.Err()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sent = append(r.sent, e.Seq)
	if !r.mute {
		done(nil)
	}
	return nil
}

func (r *replica) away() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.up = make(chan struct{})
}

func (r *replica) back() {
	r.mu.Lock()
	defer r.mu.Unlock()
	close(r.up)
}

func (r *replica) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.sent)
}

func appendAll(t *testing.T, s *outboxsql.Store, key string, n int) {
	t.Helper()
	var es []*outbox.Entry
	for i := range n {
		es = append(es, entry(key, i))
	}
	if err := s.Append(t.Context(), es...); err != nil {
		t.Fatal(err)
	}
}

// stores.md 4a: a holder that cannot send releases the lease, whether its send function
// blocks, its connection is lost, or no result arrives.
func TestHolderThatCannotSendGivesUp(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, open func(testing.TB) *sql.DB) {
		for name, disable := range map[string]func(*replica){
			"blocked": (*replica).away,
			"lost":    func(r *replica) { r.away(); r.relay.ConnectionLost() },
			"mute":    func(r *replica) { r.mute = true },
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				db := open(t)
				a := newReplica(t, db, outboxsql.Options{}, relay.Options{})
				b := newReplica(t, db, outboxsql.Options{}, relay.Options{})
				disable(a)
				if _, err := a.store.Hold(t.Context()); err != nil {
					t.Fatal(err)
				}
				a.run(t)
				appendAll(t, a.store, "k", 10)
				b.run(t)
				began := time.Now()
				mqtttest.Eventually(t, 2*time.Minute, func() bool { return b.count() >= 10 }, "B sends what A cannot")
				t.Logf("figure: sent by the other after %v, with a lease of %v", time.Since(began), testLease)
			})
		}
	})
}

// stores.md 4b: a relay that has lost the lease starts no more sends: the entries in its
// memory were sent and deleted by the other relay.
func TestLostLeaseSendsNothing(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, open func(testing.TB) *sql.DB) {
		const n = 1000
		db := open(t)
		a := newReplica(t, db, outboxsql.Options{}, relay.Options{})
		b := newReplica(t, db, outboxsql.Options{}, relay.Options{})
		a.away()
		if _, err := a.store.Hold(t.Context()); err != nil {
			t.Fatal(err)
		}
		appendAll(t, a.store, "k", n)
		a.run(t)
		b.run(t)
		mqtttest.Eventually(t, 5*time.Minute, func() bool {
			st, err := b.store.Stats(t.Context())
			return err == nil && st.Depth == 0
		}, "B sends all")
		a.back()
		if _, err := a.store.Hold(t.Context()); !errors.Is(err, outbox.ErrNotHolder) {
			t.Logf("A has the lease again: %v", err)
		}
		appendAll(t, a.store, "later", 1)
		mqtttest.Eventually(t, 2*time.Minute, func() bool { return a.count()+b.count() >= n+1 }, "the last one is sent")
		a.mu.Lock()
		defer a.mu.Unlock()
		for _, seq := range a.sent {
			if seq <= n {
				t.Fatalf("A sent %d entries, such as %d, which B had sent and deleted", len(a.sent), seq)
			}
		}
	})
}

// stores.md 4c and 4d: without the lease, Read does not report an empty store, and Flush does
// not report that everything is sent.
func TestNotYoursIsNotEmpty(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, open func(testing.TB) *sql.DB) {
		db := open(t)
		long := outboxsql.Options{Lease: 2 * time.Minute}
		a, b := newReplica(t, db, long, relay.Options{}), newReplica(t, db, long, relay.Options{})
		stopA := a.run(t)
		mqtttest.Eventually(t, time.Minute, func() bool {
			until, err := a.store.Hold(t.Context())
			return err == nil && !until.IsZero()
		}, "A holds the lease")
		a.away()
		appendAll(t, a.store, "k", 10)
		if es, err := b.store.Read(t.Context(), 0, 10); !errors.Is(err, outbox.ErrNotHolder) {
			t.Errorf("Read of another: %d entries, %v", len(es), err)
		}
		if _, err := b.store.Hold(t.Context()); !errors.Is(err, outbox.ErrNotHolder) {
			t.Errorf("Hold of another: %v", err)
		}
		stopB := b.run(t)
		err := b.relay.Flush(t.Context())
		if !errors.Is(err, outbox.ErrNotHolder) && b.count() < 10 {
			t.Errorf("Flush of another: %v, %d sent", err, b.count())
		}
		if h := b.relay.Health(t.Context()); !h.Standby && b.count() == 0 || h.Err != nil {
			t.Errorf("Health of another: %+v", h)
		}
		stopA()
		stopB()
	})
}

// Yield has another process relay at once.
func TestYield(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, open func(testing.TB) *sql.DB) {
		db := open(t)
		a, b := store(t, db, outboxsql.Options{Lease: time.Minute}), store(t, db, outboxsql.Options{Lease: time.Minute})
		until, err := a.Hold(t.Context())
		if err != nil || time.Until(until) < 50*time.Second {
			t.Fatalf("Hold: %v, %v", until, err)
		}
		if _, err := b.Hold(t.Context()); !errors.Is(err, outbox.ErrNotHolder) {
			t.Fatalf("Hold of another: %v", err)
		}
		if err := errors.Join(a.Yield(t.Context()), b.Yield(t.Context())); err != nil {
			t.Fatal(err)
		}
		if _, err := b.Hold(t.Context()); err != nil {
			t.Errorf("Hold after Yield: %v", err)
		}
		if _, err := a.Hold(t.Context()); !errors.Is(err, outbox.ErrNotHolder) {
			t.Errorf("Hold of who gave it up: %v", err)
		}
	})
}

// stores.md 4e: a relay that waits for longer than the lease has lost it.
func TestPatienceIsBelowTheLease(t *testing.T) {
	t.Parallel()
	for _, o := range []outboxsql.Options{
		{Patience: time.Second, Lease: time.Second}, {Patience: 11 * time.Second},
	} {
		if _, err := outboxsql.New(sqlite(t), o); err == nil {
			t.Errorf("%+v was accepted", o)
		}
	}
	for _, o := range []outboxsql.Options{{}, {Lease: time.Millisecond}, {Patience: 9 * time.Second}} {
		if _, err := outboxsql.New(sqlite(t), o); err != nil {
			t.Error(fmt.Errorf("%+v: %w", o, err))
		}
	}
}
