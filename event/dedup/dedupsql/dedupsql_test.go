package dedupsql_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
	_ "modernc.org/sqlite"

	"github.com/kratos-mqtt/kratos-mqtt/event/dedup"
	"github.com/kratos-mqtt/kratos-mqtt/event/dedup/dedupsql"
	"github.com/kratos-mqtt/kratos-mqtt/event/sqltx"
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

func onBoth(t *testing.T, o dedupsql.Options, test func(t *testing.T, db *sql.DB, w *dedupsql.Window)) {
	t.Helper()
	for name, open := range map[string]func(testing.TB) *sql.DB{"sqlite": sqlite, "postgres": testdb.Open} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := open(t)
			w := window(t, db, o)
			if _, err := db.ExecContext(t.Context(), "CREATE TABLE effect (id TEXT)"); err != nil {
				t.Fatal(err)
			}
			test(t, db, w)
		})
	}
}

func window(tb testing.TB, db *sql.DB, o dedupsql.Options) *dedupsql.Window {
	tb.Helper()
	w, err := dedupsql.New(db, o)
	if err != nil {
		tb.Fatal(err)
	}
	for range 2 { // the second time there is nothing to do
		if err := w.Migrate(context.Background()); err != nil {
			tb.Fatal(err)
		}
	}
	return w
}

// write is an effect in the transaction of the window.
func write(id string) func(context.Context) error {
	return func(ctx context.Context) error {
		tx := sqltx.From(ctx)
		if tx == nil {
			return errors.New("no transaction in the context")
		}
		_, err := tx.ExecContext(ctx, "INSERT INTO effect VALUES ($1)", id)
		return err
	}
}

func effects(t *testing.T, db *sql.DB) (n int) {
	t.Helper()
	if err := db.QueryRowContext(t.Context(), "SELECT count(*) FROM effect").Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestOnce(t *testing.T) {
	t.Parallel()
	onBoth(t, dedupsql.Options{}, func(t *testing.T, db *sql.DB, w *dedupsql.Window) {
		for i := range 3 {
			duplicate, err := w.Once(t.Context(), "a", write("a"))
			if err != nil || duplicate != (i > 0) {
				t.Fatalf("call %d: %t, %v", i, duplicate, err)
			}
		}
		if _, err := w.Once(t.Context(), "", write("")); !errors.Is(err, dedup.ErrNoID) {
			t.Errorf("err = %v", err)
		}
		if n := effects(t, db); n != 1 {
			t.Errorf("%d effects", n)
		}
	})
}

// What fails leaves neither an effect nor an id.
func TestFailureLeavesNothing(t *testing.T) {
	t.Parallel()
	onBoth(t, dedupsql.Options{}, func(t *testing.T, db *sql.DB, w *dedupsql.Window) {
		boom := errors.New("boom")
		fail := func(ctx context.Context) error { return errors.Join(write("a")(ctx), boom) }
		if _, err := w.Once(t.Context(), "a", fail); !errors.Is(err, boom) {
			t.Fatal(err)
		}
		func() {
			defer func() { _ = recover() }()
			_, _ = w.Once(t.Context(), "a", func(ctx context.Context) error { _ = write("a")(ctx); panic("boom") })
		}()
		if n := effects(t, db); n != 0 {
			t.Fatalf("%d effects of failures", n)
		}
		if duplicate, err := w.Once(t.Context(), "a", write("a")); duplicate || err != nil {
			t.Errorf("%t, %v", duplicate, err)
		}
	})
}

// In the transaction of a caller, the id comes and goes with it.
func TestTransactionOfTheCaller(t *testing.T) {
	t.Parallel()
	onBoth(t, dedupsql.Options{}, func(t *testing.T, db *sql.DB, w *dedupsql.Window) {
		boom := errors.New("boom")
		for _, fail := range []error{boom, nil} {
			err := sqltx.Run(t.Context(), db, func(ctx context.Context) error {
				if duplicate, err := w.Once(ctx, "a", write("a")); duplicate || err != nil {
					return fmt.Errorf("%t, %w", duplicate, err)
				}
				return fail
			})
			if !errors.Is(err, fail) {
				t.Fatal(err)
			}
		}
		if n := effects(t, db); n != 1 {
			t.Errorf("%d effects", n)
		}
	})
}

// However many deliveries come at a time, to several processes too, there is
// one effect for each id.
func TestConcurrent(t *testing.T) {
	t.Parallel()
	onBoth(t, dedupsql.Options{}, func(t *testing.T, db *sql.DB, w *dedupsql.Window) {
		const ids, deliveries = 20, 6
		other := window(t, db, dedupsql.Options{})
		var wg sync.WaitGroup
		for d := range deliveries {
			wg.Go(func() {
				use := w
				if d%2 == 1 {
					use = other
				}
				for i := range ids {
					err := dedup.ErrRunning
					for errors.Is(err, dedup.ErrRunning) && t.Context().Err() == nil {
						_, err = use.Once(t.Context(), fmt.Sprint(i), write(fmt.Sprint(i)))
					}
					if err != nil {
						t.Errorf("delivery %d of %d: %v", d, i, err)
					}
				}
			})
		}
		wg.Wait()
		if n := effects(t, db); n != ids {
			t.Errorf("%d effects of %d ids", n, ids)
		}
	})
}

func TestExpiry(t *testing.T) {
	t.Parallel()
	onBoth(t, dedupsql.Options{TTL: 50 * time.Millisecond}, func(t *testing.T, _ *sql.DB, w *dedupsql.Window) {
		for range 2 {
			if duplicate, err := w.Once(t.Context(), "a", write("a")); duplicate || err != nil {
				t.Fatalf("%t, %v", duplicate, err)
			}
			<-time.After(60 * time.Millisecond) // the clock is the database's
		}
		if _, err := w.Once(t.Context(), "b", write("b")); err != nil {
			t.Fatal(err)
		}
		<-time.After(60 * time.Millisecond)
		if n, err := w.Purge(t.Context()); err != nil || n != 2 {
			t.Errorf("purged %d, %v", n, err)
		}
	})
}

func TestOptions(t *testing.T) {
	t.Parallel()
	for _, o := range []dedupsql.Options{{Table: "a b"}, {TTL: -1}} {
		if _, err := dedupsql.New(sqlite(t), o); err == nil {
			t.Errorf("%+v was accepted", o)
		}
	}
}

// BenchmarkOnce handles messages with an effect of one row, 16 at a time, in
// transactions that wait for the disk.
func BenchmarkOnce(b *testing.B) {
	durable := postgres.NewServer(postgres.Durable()...)
	defer durable.Close()
	for name, open := range map[string]func(testing.TB) *sql.DB{"sqlite": sqlite, "postgres": durable.Open} {
		b.Run(name, func(b *testing.B) {
			db := open(b)
			db.SetMaxOpenConns(map[string]int{"sqlite": 1, "postgres": 16}[name])
			db.SetMaxIdleConns(16)
			w := window(b, db, dedupsql.Options{})
			if _, err := db.ExecContext(b.Context(), "CREATE TABLE effect (id TEXT)"); err != nil {
				b.Fatal(err)
			}
			if name == "sqlite" {
				if _, err := db.ExecContext(b.Context(), "PRAGMA synchronous=FULL"); err != nil {
					b.Fatal(err)
				}
			}
			var n atomic.Int64
			b.SetParallelism(8)
			b.ResetTimer()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if _, err := w.Once(b.Context(), fmt.Sprint(n.Add(1)), write("x")); err != nil {
						b.Error(err)
					}
				}
			})
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "effects/s")
		})
	}
}
