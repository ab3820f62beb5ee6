package outboxsql_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	_ "modernc.org/sqlite"

	"github.com/kratos-mqtt/kratos-mqtt/event/outbox"
	"github.com/kratos-mqtt/kratos-mqtt/event/outbox/outboxsql"
	"github.com/kratos-mqtt/kratos-mqtt/event/outbox/outboxtest"
	"github.com/kratos-mqtt/kratos-mqtt/event/sqltx"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/outbox/relay"
	"github.com/kratos-mqtt/kratos-mqtt/internal/test/postgres"
)

var testdb = postgres.NewServer()

func TestMain(m *testing.M) { goleak.VerifyTestMain(testdb.Main(m)) }

func sqlite(tb testing.TB) *sql.DB {
	tb.Helper()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(tb.TempDir(), "t.db")+"?_txlock=immediate&_pragma=busy_timeout(10000)&_pragma=journal_mode(WAL)&_pragma=synchronous(NORMAL)")
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = db.Close() })
	return db
}

// onBoth runs a test on both databases.
func onBoth(t *testing.T, test func(t *testing.T, open func(testing.TB) *sql.DB)) {
	t.Helper()
	for name, open := range map[string]func(testing.TB) *sql.DB{"sqlite": sqlite, "postgres": testdb.Open} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, open)
		})
	}
}

func store(tb testing.TB, db *sql.DB, o outboxsql.Options) *outboxsql.Store {
	tb.Helper()
	s, err := outboxsql.New(db, o)
	if err != nil {
		tb.Fatal(err)
	}
	for range 2 { // the second time there is nothing to do
		if err := s.Migrate(context.Background()); err != nil {
			tb.Fatal(err)
		}
	}
	return s
}

func TestStore(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, open func(testing.TB) *sql.DB) {
		outboxtest.TestStore(t, func(t *testing.T) outbox.Store { t.Helper(); return store(t, open(t), outboxsql.Options{}) })
	})
}

// stores.md 13.
func TestQuarantineBound(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, open func(testing.TB) *sql.DB) {
		outboxtest.TestQuarantineBound(t, func(t *testing.T) outbox.Store {
			t.Helper()
			return store(t, open(t), outboxsql.Options{MaxQuarantined: 3})
		})
	})
}

func TestQuarantineShare(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, open func(testing.TB) *sql.DB) {
		outboxtest.TestQuarantineShare(t, func(t *testing.T, bytes int64) outbox.Store {
			t.Helper()
			return store(t, open(t), outboxsql.Options{MaxQuarantined: 16, MaxQuarantinedBytes: bytes})
		})
	})
}

// What another process has quarantined counts, as does what was there before.
func TestQuarantineShareOfTwoProcesses(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, open func(testing.TB) *sql.DB) {
		db := open(t)
		s := store(t, db, outboxsql.Options{})
		var es []*outbox.Entry
		for i := range 13 {
			es = append(es, entry("k", i))
		}
		other := entry("other", 0)
		if err := s.Append(t.Context(), append(es, other)...); err != nil {
			t.Fatal(err)
		}
		for _, e := range es[:12] {
			if err := s.Quarantine(t.Context(), e.Seq, "refused"); err != nil {
				t.Fatal(err)
			}
		}
		s = store(t, db, outboxsql.Options{MaxQuarantined: 16})
		if err := s.Quarantine(t.Context(), es[12].Seq, "refused"); !errors.Is(err, outbox.ErrQuarantineShare) {
			t.Errorf("Quarantine of a key that has its share: %v", err)
		}
		if err := s.Quarantine(t.Context(), other.Seq, "refused"); err != nil {
			t.Errorf("Quarantine of another key: %v", err)
		}
	})
}

func entry(key string, n int) *outbox.Entry { return outboxtest.Entry(key, n) }

func read(t *testing.T, s outbox.Store) (ids []string) {
	t.Helper()
	for after := uint64(0); ; {
		page, err := s.Read(t.Context(), after, 10_000)
		if errors.Is(err, outbox.ErrNotHolder) {
			return nil
		}
		if err != nil {
			t.Fatal(err)
		}
		if len(page) == 0 {
			return ids
		}
		for _, e := range page {
			ids, after = append(ids, e.ID), e.Seq
		}
	}
}

// A message is accepted with what its transaction writes, or not at all.
func TestTransaction(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, open func(testing.TB) *sql.DB) {
		db := open(t)
		s := store(t, db, outboxsql.Options{})
		if _, err := db.ExecContext(t.Context(), "CREATE TABLE effect (n INTEGER)"); err != nil {
			t.Fatal(err)
		}
		boom := errors.New("boom")
		for _, fail := range []error{boom, nil} {
			err := sqltx.Run(t.Context(), db, func(ctx context.Context) error {
				if _, err := sqltx.From(ctx).ExecContext(ctx, "INSERT INTO effect VALUES (1)"); err != nil {
					return err
				}
				if err := s.Append(ctx, entry("k", 1)); err != nil {
					return err
				}
				return fail
			})
			if !errors.Is(err, fail) {
				t.Fatalf("err = %v, want %v", err, fail)
			}
			var effects int
			if err := db.QueryRowContext(t.Context(), "SELECT count(*) FROM effect").Scan(&effects); err != nil {
				t.Fatal(err)
			}
			if got := len(read(t, s)); got != effects || (fail == nil) != (got == 1) {
				t.Errorf("%d messages and %d effects after %v", got, effects, fail)
			}
		}
	})
}

// An entry of a transaction that commits late is not skipped: a reader that pages by Seq sees
// every entry once.
func TestLateCommitIsNotPassedBy(t *testing.T) {
	t.Parallel()
	db := testdb.Open(t)
	s := store(t, db, outboxsql.Options{Patience: time.Minute, Lease: 2 * time.Minute})
	late, err := db.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Append(sqltx.With(t.Context(), late), entry("late", 1)); err != nil {
		t.Fatal(err)
	}
	if err := s.Append(t.Context(), entry("early", 1)); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if es, err := s.Read(ctx, 0, 10); len(es) != 0 || !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("%d entries were read before one of lower seq could be: %v", len(es), err)
	}
	if err := late.Commit(); err != nil {
		t.Fatal(err)
	}
	if ids := read(t, s); fmt.Sprint(ids) != "[late-1 early-1]" {
		t.Errorf("read %v", ids)
	}
}

// Pages by Seq, taken while many transactions commit and roll back in any
// order, have every committed entry.
func TestPagesMissNothing(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, open func(testing.TB) *sql.DB) {
		const writers, each = 8, 40
		db := open(t)
		s := store(t, db, outboxsql.Options{Patience: 9 * time.Second}) // no transaction of the test is overtaken
		var writing sync.WaitGroup
		committed := make([][]string, writers)
		for w := range writers {
			writing.Go(func() {
				random := rand.New(rand.NewPCG(1, uint64(w)))
				for n := range each {
					rollback := random.IntN(4) == 0
					err := sqltx.Run(t.Context(), db, func(ctx context.Context) error {
						if err := s.Append(ctx, entry(fmt.Sprint(w), n)); err != nil {
							return err
						}
						<-time.After(time.Duration(random.IntN(2000)) * time.Microsecond)
						if rollback {
							return context.Canceled
						}
						return nil
					})
					switch {
					case err == nil:
						committed[w] = append(committed[w], entry(fmt.Sprint(w), n).ID)
					case !rollback:
						t.Errorf("append: %v", err)
					}
				}
			})
		}
		done := make(chan struct{})
		go func() { writing.Wait(); close(done) }()
		got := make(map[string][]string)
		after, ended := uint64(0), false
		for {
			page, err := s.Read(t.Context(), after, 7)
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range page {
				after = e.Seq
				got[e.Key] = append(got[e.Key], e.ID)
			}
			if len(page) > 0 {
				continue
			}
			if ended {
				break
			}
			select {
			case <-done:
				ended = true
			case <-time.After(time.Millisecond):
			}
		}
		for w := range writers {
			if fmt.Sprint(got[fmt.Sprint(w)]) != fmt.Sprint(committed[w]) {
				t.Errorf("writer %d: read %d of %d entries, or in another order", w, len(got[fmt.Sprint(w)]), len(committed[w]))
			}
		}
	})
}

// One process at a time relays; another takes over when it ends or dies.
func TestLease(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, open func(testing.TB) *sql.DB) {
		db := open(t)
		const lease = 5 * time.Second
		first := store(t, db, outboxsql.Options{Lease: lease})
		second := store(t, db, outboxsql.Options{Lease: lease})
		third := store(t, db, outboxsql.Options{Lease: lease})
		if err := first.Append(t.Context(), entry("k", 1)); err != nil {
			t.Fatal(err)
		}
		if len(read(t, first)) != 1 || len(read(t, second)) != 0 {
			t.Fatal("two hold the lease")
		}
		began := time.Now() // the first one dies
		for len(read(t, second)) == 0 {
			if time.Since(began) > 2*time.Minute {
				t.Fatal("nobody takes over")
			}
			<-time.After(10 * time.Millisecond)
		}
		t.Logf("figure: lease of %v taken over after %v", lease, time.Since(began).Round(time.Millisecond))
		if len(read(t, third)) != 0 {
			t.Error("two hold the lease")
		}
		if err := second.Close(); err != nil {
			t.Fatal(err)
		}
		if len(read(t, third)) != 1 {
			t.Error("the lease was not given back")
		}
	})
}

func TestBounds(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, open func(testing.TB) *sql.DB) {
		s := store(t, open(t), outboxsql.Options{MaxEntries: 3})
		for n := range 3 {
			if err := s.Append(t.Context(), entry("k", n)); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.Append(t.Context(), entry("k", 4)); !errors.Is(err, outbox.ErrFull) {
			t.Errorf("err = %v", err)
		}
		if err := s.Delete(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
		if err := s.Append(t.Context(), entry("k", 5)); err != nil {
			t.Errorf("after a delete: %v", err)
		}
		bytes := store(t, open(t), outboxsql.Options{MaxBytes: 10})
		if err := bytes.Append(t.Context(), entry("k", 1)); !errors.Is(err, outbox.ErrFull) {
			t.Errorf("err = %v", err)
		}
	})
}

func TestCorruptEntryIsQuarantined(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, open func(testing.TB) *sql.DB) {
		db := open(t)
		s := store(t, db, outboxsql.Options{})
		if err := s.Append(t.Context(), entry("k", 1), entry("k", 2)); err != nil {
			t.Fatal(err)
		}
		if _, err := db.ExecContext(t.Context(), "UPDATE mqtt_outbox SET headers = '{' WHERE id = 'k-1'"); err != nil {
			t.Fatal(err)
		}
		if ids := read(t, s); fmt.Sprint(ids) != "[k-2]" {
			t.Errorf("read %v", ids)
		}
		if st, err := s.Stats(t.Context()); err != nil || st.Quarantined != 1 || st.Depth != 1 {
			t.Errorf("%+v, %v", st, err)
		}
	})
}

func TestOptions(t *testing.T) {
	t.Parallel()
	for _, o := range []outboxsql.Options{{Table: "a-b"}, {MaxEntries: -1}, {MaxBytes: -1}, {Lease: -1}} {
		if _, err := outboxsql.New(sqlite(t), o); err == nil {
			t.Errorf("%+v was accepted", o)
		}
	}
	if _, err := outboxsql.New(nil, outboxsql.Options{}); err == nil {
		t.Error("no database was accepted")
	}
}

// Two relays on one table, of which one dies: every entry is sent, those of a
// key in order.
func TestTwoRelays(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, open func(testing.TB) *sql.DB) {
		const keys, each = 5, 60
		db := open(t)
		var mu sync.Mutex
		sent := make(map[string][]string)
		send := func(_ context.Context, e *outbox.Entry, done func(error)) error {
			mu.Lock()
			defer mu.Unlock()
			sent[e.Key] = append(sent[e.Key], e.ID)
			done(nil)
			return nil
		}
		start := func() (stop context.CancelFunc, ended chan struct{}) {
			s := store(t, db, outboxsql.Options{Lease: 300 * time.Millisecond})
			r, err := relay.New(s, send, relay.Options{PollInterval: 20 * time.Millisecond})
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(context.Background())
			ended = make(chan struct{})
			go func() { defer close(ended); _ = r.Run(ctx) }()
			return cancel, ended
		}
		writer := store(t, db, outboxsql.Options{})
		kill, dead := start()
		stop, ended := start()
		for n := range each {
			for k := range keys {
				if err := writer.Append(t.Context(), entry(fmt.Sprint(k), n)); err != nil {
					t.Fatal(err)
				}
			}
			if n == each/2 {
				kill() // it does not release the lease
				<-dead
			}
		}
		deadline := time.Now().Add(5 * time.Minute)
		for {
			st, err := writer.Stats(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if st.Depth == 0 {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("%d are left", st.Depth)
			}
			<-time.After(20 * time.Millisecond)
		}
		stop()
		<-ended
		for k := range keys {
			next := 0
			for _, id := range sent[fmt.Sprint(k)] {
				if id == entry(fmt.Sprint(k), next).ID {
					next++
				}
			}
			if next != each {
				t.Errorf("key %d: in order up to %d of %d, sent %v", k, next, each, sent[fmt.Sprint(k)])
			}
		}
	})
}

// BenchmarkAppend appends one entry at a time, each in a transaction of its own
// that waits for the disk.
func BenchmarkAppend(b *testing.B) {
	durable := postgres.NewServer(postgres.Durable()...)
	defer durable.Close()
	for name, open := range map[string]func(testing.TB) *sql.DB{"sqlite": sqlite, "postgres": durable.Open} {
		for _, writers := range []int{1, 16} {
			b.Run(fmt.Sprintf("%s/writers=%d", name, writers), func(b *testing.B) {
				db := open(b)
				db.SetMaxIdleConns(writers)
				db.SetMaxOpenConns(writers)
				if name == "sqlite" {
					db.SetMaxOpenConns(1)
				}
				if _, err := db.ExecContext(b.Context(), map[string]string{"sqlite": "PRAGMA synchronous=FULL", "postgres": "SELECT 1"}[name]); err != nil {
					b.Fatal(err)
				}
				s := store(b, db, outboxsql.Options{MaxEntries: 1 << 40, MaxBytes: 1 << 50})
				b.SetParallelism((writers + 1) / 2)
				b.ResetTimer()
				b.RunParallel(func(pb *testing.PB) {
					for pb.Next() {
						if err := s.Append(context.Background(), entry("k", 1)); err != nil {
							b.Error(err)
						}
					}
				})
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "appends/s")
			})
		}
	}
}
