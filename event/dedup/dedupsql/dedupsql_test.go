package dedupsql_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/kratos-mqtt/kratos-mqtt/event/dedup/dedupsql"
	"github.com/kratos-mqtt/kratos-mqtt/event/sqltx"
	"github.com/kratos-mqtt/kratos-mqtt/internal/pgtest"
	"github.com/kratos-mqtt/kratos-mqtt/internal/sqltest"
)

var postgres = pgtest.NewServer()

func TestMain(m *testing.M) { goleak.VerifyTestMain(postgres.Main(m)) }

// newWindow makes a window in an empty database that has a table for effects.
func newWindow(tb testing.TB, d sqltest.Database, o dedupsql.Options) (*dedupsql.Window, *sql.DB) {
	tb.Helper()
	db := d.Open(tb)
	w, err := dedupsql.New(db, o)
	if err != nil {
		tb.Fatal(err)
	}
	for range 2 { // it does nothing the second time
		if err := w.Migrate(tb.Context()); err != nil {
			tb.Fatal(err)
		}
	}
	if _, err := db.ExecContext(tb.Context(), "CREATE TABLE effect (id TEXT NOT NULL)"); err != nil {
		tb.Fatal(err)
	}
	return w, db
}

// insert is an effect in the transaction.
func insert(db *sql.DB, id string) func(context.Context) error {
	return func(ctx context.Context) error {
		_, err := sqltx.Or(ctx, db).ExecContext(ctx, "INSERT INTO effect (id) VALUES ($1)", id)
		return err
	}
}

func effects(tb testing.TB, db *sql.DB, id string) (n int) {
	tb.Helper()
	if err := db.QueryRowContext(tb.Context(), "SELECT count(*) FROM effect WHERE id = $1", id).Scan(&n); err != nil {
		tb.Fatal(err)
	}
	return n
}

func want(t *testing.T, w *dedupsql.Window, db *sql.DB, id string, duplicate bool) {
	t.Helper()
	got, err := w.Once(t.Context(), id, insert(db, "effect"))
	if err != nil || got != duplicate {
		t.Errorf("Once(%.20q) = %v, %v; want %v", id, got, err, duplicate)
	}
}

func TestOnce(t *testing.T) {
	t.Parallel()
	sqltest.Each(t, postgres, func(t *testing.T, d sqltest.Database) {
		w, db := newWindow(t, d, dedupsql.Options{Table: "seen"})
		ids := []string{"a", "b", "orders/a", "", "nul\x00", "\xff", "\xfe", strings.Repeat("x", 5000), strings.Repeat("x", 5001)}
		for _, id := range ids {
			want(t, w, db, id, false)
		}
		for _, id := range ids {
			want(t, w, db, id, true)
		}
		if n := effects(t, db, "effect"); n != len(ids) {
			t.Errorf("%d effects of %d ids", n, len(ids))
		}
	})
}

func TestFailureFreesTheID(t *testing.T) {
	t.Parallel()
	failure := errors.New("no luck")
	sqltest.Each(t, postgres, func(t *testing.T, d sqltest.Database) {
		w, db := newWindow(t, d, dedupsql.Options{})
		_, err := w.Once(t.Context(), "id", func(ctx context.Context) error {
			return errors.Join(insert(db, "undone")(ctx), failure)
		})
		if !errors.Is(err, failure) {
			t.Errorf("Once: %v", err)
		}
		func() {
			defer func() {
				if recover() == nil {
					t.Error("the panic was swallowed")
				}
			}()
			_, _ = w.Once(t.Context(), "id", func(ctx context.Context) error {
				_ = insert(db, "undone")(ctx)
				panic("bad luck")
			})
		}()
		ctx, cancel := context.WithCancel(t.Context())
		if _, err := w.Once(ctx, "id", func(ctx context.Context) error {
			defer cancel()
			return insert(db, "undone")(ctx)
		}); err == nil {
			t.Error("nil although the context ended before the commit")
		}
		if n := effects(t, db, "undone"); n != 0 {
			t.Errorf("%d effects of failures are there", n)
		}
		want(t, w, db, "id", false)
	})
}

func TestWithinATransactionOfTheCaller(t *testing.T) {
	t.Parallel()
	failure := errors.New("no luck")
	sqltest.Each(t, postgres, func(t *testing.T, d sqltest.Database) {
		w, db := newWindow(t, d, dedupsql.Options{})
		for _, commit := range []bool{false, true} {
			err := sqltx.Run(t.Context(), db, func(ctx context.Context) error {
				_ = insert(db, "caller")(ctx)
				if _, err := w.Once(ctx, "bad", func(ctx context.Context) error {
					_ = insert(db, "undone")(ctx)
					_, err := sqltx.From(ctx).ExecContext(ctx, "INSERT INTO nowhere VALUES (1)") // PostgreSQL takes no more after this
					return err
				}); err == nil {
					t.Error("the effect failed and Once did not")
				}
				if duplicate, err := w.Once(ctx, "good", insert(db, "good")); duplicate || err != nil {
					t.Errorf("Once after a failure: %v, %v", duplicate, err)
				}
				if duplicate, err := w.Once(ctx, "good", insert(db, "good")); !duplicate || err != nil {
					t.Errorf("the same again: %v, %v", duplicate, err)
				}
				if commit {
					return nil
				}
				return failure
			})
			if (err == nil) != commit {
				t.Fatal(err)
			}
			n := 0
			if commit {
				n = 1
			}
			if caller, good, undone := effects(t, db, "caller"), effects(t, db, "good"), effects(t, db, "undone"); caller != n || good != n || undone != 0 {
				t.Errorf("commit %v: %d of the caller, %d good, %d undone", commit, caller, good, undone)
			}
		}
		want(t, w, db, "good", true)
		want(t, w, db, "bad", false)
	})
}

func TestSecondCallWaitsForTheFirst(t *testing.T) {
	t.Parallel()
	sqltest.Each(t, postgres, func(t *testing.T, d sqltest.Database) {
		for _, failure := range []error{nil, errors.New("no luck")} {
			w, db := newWindow(t, d, dedupsql.Options{})
			inside, release := make(chan struct{}), make(chan struct{})
			var wg sync.WaitGroup
			wg.Go(func() {
				_, _ = w.Once(t.Context(), "id", func(ctx context.Context) error {
					close(inside)
					<-release
					return errors.Join(insert(db, "effect")(ctx), failure)
				})
			})
			<-inside
			if d.Dialect == sqltx.Postgres { // SQLite has no second writer, and may not look at ctx while it waits
				ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
				if _, err := w.Once(ctx, "id", insert(db, "effect")); !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("waiting beyond its context: %v", err)
				}
				cancel()
			}
			wg.Go(func() {
				duplicate, err := w.Once(t.Context(), "id", insert(db, "effect"))
				if duplicate != (failure == nil) || err != nil {
					t.Errorf("after an effect that returned %v: %v, %v", failure, duplicate, err)
				}
			})
			close(release)
			wg.Wait()
			if n := effects(t, db, "effect"); n != 1 {
				t.Errorf("%d effects", n)
			}
		}
	})
}

// Several processes handle the same messages at the same time, some attempts
// fail: every effect happens once.
func TestConcurrently(t *testing.T) {
	t.Parallel()
	const ids, processes = 60, 4
	sqltest.Each(t, postgres, func(t *testing.T, d sqltest.Database) {
		driver, dsn := d.New(t)
		db := d.Connect(t, driver, dsn)
		first, err := dedupsql.New(db, dedupsql.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := db.ExecContext(t.Context(), "CREATE TABLE effect (id TEXT NOT NULL)"); err != nil {
			t.Fatal(err)
		}
		if err := first.Migrate(t.Context()); err != nil {
			t.Fatal(err)
		}
		var attempts atomic.Int64
		var wg sync.WaitGroup
		for range processes {
			db := d.Connect(t, driver, dsn)
			w, err := dedupsql.New(db, dedupsql.Options{})
			if err != nil {
				t.Fatal(err)
			}
			wg.Go(func() {
				for i := range ids {
					id := fmt.Sprint(i)
					for {
						_, err := w.Once(t.Context(), id, func(ctx context.Context) error {
							if attempts.Add(1)%3 == 0 {
								return errors.New("no luck")
							}
							return insert(db, id)(ctx)
						})
						if err == nil {
							break
						}
					}
				}
			})
		}
		wg.Wait()
		for i := range ids {
			if n := effects(t, db, fmt.Sprint(i)); n != 1 {
				t.Errorf("effect %d happened %d times", i, n)
			}
		}
	})
}

func TestOldIDsAreForgotten(t *testing.T) {
	t.Parallel()
	sqltest.Each(t, postgres, func(t *testing.T, d sqltest.Database) {
		w, db := newWindow(t, d, dedupsql.Options{Window: time.Hour})
		rows := func() (n int) {
			if err := db.QueryRowContext(t.Context(), "SELECT count(*) FROM mqtt_dedup").Scan(&n); err != nil {
				t.Fatal(err)
			}
			return n
		}
		err := sqltx.Run(t.Context(), db, func(ctx context.Context) error {
			for i := range 1500 {
				if _, err := w.Once(ctx, fmt.Sprint("old", i), func(context.Context) error { return nil }); err != nil {
					return err
				}
			}
			_, err := sqltx.From(ctx).ExecContext(ctx, "UPDATE mqtt_dedup SET seen = seen - 7200000000")
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		if n, err := w.Purge(t.Context(), 100); n != 100 || err != nil {
			t.Errorf("Purge removed %d, %v; want 100", n, err)
		}
		for i := range 512 {
			if _, err := w.Once(t.Context(), fmt.Sprint("new", i), func(context.Context) error { return nil }); err != nil {
				t.Fatal(err)
			}
		}
		if n := rows(); n != 512 {
			t.Errorf("%d ids are left, want the 512 new ones", n)
		}
	})
}

func TestOptionsAreChecked(t *testing.T) {
	t.Parallel()
	db := sqltest.All(postgres)[0].Open(t)
	for _, c := range []struct {
		db   *sql.DB
		o    dedupsql.Options
		want []string
	}{
		{nil, dedupsql.Options{}, []string{"no database"}},
		{db, dedupsql.Options{Table: "x; DROP TABLE y", Dialect: "oracle", Window: -1}, []string{"table", "oracle", "window"}},
		{db, dedupsql.Options{Table: strings.Repeat("x", 41)}, []string{"table"}},
	} {
		_, err := dedupsql.New(c.db, c.o)
		for _, part := range c.want {
			if err == nil || !strings.Contains(err.Error(), part) {
				t.Errorf("New(%+v): %v, want a word on %s", c.o, err, part)
			}
		}
	}
}

func BenchmarkOnce(b *testing.B) {
	durable := pgtest.NewServer(pgtest.Durable()...)
	defer durable.Close()
	for _, d := range sqltest.All(durable) {
		b.Run(d.Name, func(b *testing.B) {
			w, db := newWindow(b, d, dedupsql.Options{})
			var n atomic.Int64
			b.SetParallelism(8)
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					id := fmt.Sprint(n.Add(1))
					if _, err := w.Once(b.Context(), id, insert(db, id)); err != nil {
						b.Error(err)
					}
				}
			})
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "effects/s")
		})
	}
}
