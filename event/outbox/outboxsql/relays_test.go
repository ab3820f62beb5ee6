package outboxsql_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event/outbox"
	"github.com/kratos-mqtt/kratos-mqtt/event/outbox/outboxsql"
	"github.com/kratos-mqtt/kratos-mqtt/event/sqltx"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/outbox/relay"
)

// counters creates a table with a number for each key. A writer increments the number of the
// key in the transaction of its message, so that the order of a key is defined however many
// writers there are.
func counters(t *testing.T, db *sql.DB, keys int) {
	t.Helper()
	if _, err := db.ExecContext(t.Context(), "CREATE TABLE counter (k INTEGER PRIMARY KEY, n INTEGER NOT NULL)"); err != nil {
		t.Fatal(err)
	}
	for k := range keys {
		if _, err := db.ExecContext(t.Context(), "INSERT INTO counter VALUES ($1, 0)", k); err != nil {
			t.Fatal(err)
		}
	}
}

// writeNext writes the next message of a key, or rolls back.
func writeNext(ctx context.Context, db *sql.DB, s *outboxsql.Store, key int, pause time.Duration, fail error) error {
	return sqltx.Run(ctx, db, func(ctx context.Context) error {
		var n int
		row := sqltx.From(ctx).QueryRowContext(ctx, "UPDATE counter SET n = n + 1 WHERE k = $1 RETURNING n", key)
		if err := row.Scan(&n); err != nil {
			return err
		}
		if err := s.Append(ctx, entry(fmt.Sprint(key), n)); err != nil {
			return err
		}
		<-time.After(pause)
		return fail
	})
}

// sends collects what relays sent, in order of the first time.
type sends struct {
	mu    sync.Mutex
	seen  map[string]bool
	byKey map[string][]string
	total int
}

func (s *sends) add(e *outbox.Entry) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.total++
	if !s.seen[e.ID] {
		s.seen[e.ID] = true
		s.byKey[e.Key] = append(s.byKey[e.Key], e.ID)
	}
}

// runRelay runs a relay on a store of its own, whose outcomes get lost once
// dead is closed. It ends with the test.
func runRelay(t *testing.T, db *sql.DB, to *sends, dead <-chan struct{}) {
	t.Helper()
	// Patience is longer than a transaction of the test can be open on a busy machine: one that is
	// overtaken is sent out of order.
	s, err := outboxsql.New(db, outboxsql.Options{Lease: 6 * time.Second, Patience: 5 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	r, err := relay.New(s, func(_ context.Context, e *outbox.Entry, done func(error)) error {
		to.add(e)
		select {
		case <-dead:
		default:
			done(nil)
		}
		return nil
	}, relay.Options{PollInterval: 20 * time.Millisecond, Batch: 16})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { _ = r.Run(ctx) })
	running.Go(func() {
		select {
		case <-dead: // it neither deletes entries nor releases the lease
			cancel()
		case <-ctx.Done():
		}
	})
	t.Cleanup(func() { cancel(); running.Wait() })
}

// Transactions of all lengths write, some roll back, two relays share the
// table, and the one that sends dies twice: every committed message is sent,
// for each key in the order of the commits, and nothing that was rolled back.
func TestRelaysLoseNothing(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, open func(testing.TB) *sql.DB) {
		const keys, writers, each = 6, 6, 60
		db := open(t)
		counters(t, db, keys)
		to := &sends{seen: map[string]bool{}, byKey: map[string][]string{}}
		writer := store(t, db, outboxsql.Options{})
		first, second := make(chan struct{}), make(chan struct{})
		runRelay(t, db, to, first)
		runRelay(t, db, to, second)
		runRelay(t, db, to, nil)
		var writing sync.WaitGroup
		var once [2]sync.Once
		for w := range writers {
			writing.Go(func() {
				random := rand.New(rand.NewPCG(7, uint64(w)))
				for i := range each {
					var fail error
					if random.IntN(5) == 0 {
						fail = context.Canceled
					}
					err := writeNext(t.Context(), db, writer, random.IntN(keys), time.Duration(random.IntN(3000))*time.Microsecond, fail)
					if !errors.Is(err, fail) {
						t.Errorf("write: %v", err)
					}
					switch i {
					case each / 3:
						once[0].Do(func() { close(first) })
					case 2 * each / 3:
						once[1].Do(func() { close(second) })
					}
				}
			})
		}
		writing.Wait()
		for deadline := time.Now().Add(5 * time.Minute); ; <-time.After(10 * time.Millisecond) {
			st, err := writer.Stats(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if st.Depth == 0 {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("%d entries are left", st.Depth)
			}
		}
		to.mu.Lock()
		defer to.mu.Unlock()
		for k := range keys {
			var n int
			if err := db.QueryRowContext(t.Context(), "SELECT n FROM counter WHERE k = $1", k).Scan(&n); err != nil {
				t.Fatal(err)
			}
			var want []string
			for i := range n {
				want = append(want, entry(fmt.Sprint(k), i+1).ID)
			}
			if got := to.byKey[fmt.Sprint(k)]; fmt.Sprint(got) != fmt.Sprint(want) {
				t.Errorf("key %d: sent %v, want %v", k, got, want)
			}
		}
		t.Logf("figure: %d messages, sent %d times", len(to.seen), to.total)
	})
}
