package dedupsql_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event/dedup"
	"github.com/kratos-mqtt/kratos-mqtt/event/dedup/dedupsql"
	"github.com/kratos-mqtt/kratos-mqtt/event/dedup/deduptest"
	"github.com/kratos-mqtt/kratos-mqtt/event/sqltx"
)

func TestBatches(t *testing.T) {
	t.Parallel()
	for name, open := range map[string]func(testing.TB) *sql.DB{"sqlite": sqlite, "postgres": testdb.Open} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			deduptest.Batches(t, func(t *testing.T) dedup.BatchWindow { return window(t, open(t), dedupsql.Options{}) })
		})
	}
}

// writeAll is an effect of one row for each id, that fails for some of them.
func writeAll(ids []string, failing string) dedup.EachEffect {
	return func(ctx context.Context, fresh []int) ([]error, error) {
		failed := make([]error, len(fresh))
		for n, i := range fresh {
			if ids[i] == failing {
				failed[n] = errors.New("boom")
				continue
			}
			if err := write(ids[i])(ctx); err != nil {
				return nil, err
			}
		}
		return failed, nil
	}
}

// The ids and the effects of a batch come and go together, in the transaction of
// the caller too.
func TestBatchIsOneTransaction(t *testing.T) {
	t.Parallel()
	onBoth(t, dedupsql.Options{}, func(t *testing.T, db *sql.DB, w *dedupsql.Window) {
		ids := []string{"c", "a", "b"}
		boom := errors.New("boom")
		_, err := w.OnceEach(t.Context(), ids, func(ctx context.Context, fresh []int) ([]error, error) {
			if _, err := writeAll(ids, "")(ctx, fresh); err != nil {
				return nil, err
			}
			return nil, boom
		})
		if n := effects(t, db); !errors.Is(err, boom) || n != 0 {
			t.Fatalf("%d effects of a batch that failed, %v", n, err)
		}
		for _, fail := range []error{boom, nil} {
			err := sqltx.Run(t.Context(), db, func(ctx context.Context) error {
				if _, err := w.OnceEach(ctx, ids, writeAll(ids, "a")); err != nil {
					return err
				}
				return fail
			})
			if !errors.Is(err, fail) {
				t.Fatal(err)
			}
		}
		if n := effects(t, db); n != 2 {
			t.Errorf("%d effects, want 2", n)
		}
		outcomes, err := w.OnceEach(t.Context(), ids, writeAll(ids, ""))
		if err != nil || !outcomes[0].Duplicate || outcomes[1].Duplicate || !outcomes[2].Duplicate {
			t.Errorf("next delivery: %+v, %v", outcomes, err)
		}
	})
}

// What has expired is claimed again.
func TestBatchAfterExpiry(t *testing.T) {
	t.Parallel()
	onBoth(t, dedupsql.Options{TTL: 50 * time.Millisecond}, func(t *testing.T, db *sql.DB, w *dedupsql.Window) {
		ids := []string{"a", "b"}
		for range 2 {
			if _, err := w.OnceEach(t.Context(), ids, writeAll(ids, "")); err != nil {
				t.Fatal(err)
			}
			<-time.After(60 * time.Millisecond) // the clock is the database's
		}
		if n := effects(t, db); n != 4 {
			t.Errorf("%d effects, want 4", n)
		}
	})
}

// Ids that a database cannot keep as they are, and expired ones in great number,
// are no trouble for a batch.
func TestBatchOfStrangeIDs(t *testing.T) {
	t.Parallel()
	onBoth(t, dedupsql.Options{}, func(t *testing.T, _ *sql.DB, w *dedupsql.Window) {
		ids := []string{"\x00", "\xff", "\u2028", `\u0000`, strings.Repeat("x", 100_000)}
		for delivery := range 2 {
			outcomes, err := w.OnceEach(t.Context(), ids, writeNothing)
			if err != nil {
				t.Fatal(err)
			}
			for i, o := range outcomes {
				if o.Duplicate != (delivery > 0) {
					t.Errorf("delivery %d of %.10q: duplicate %v", delivery, ids[i], o.Duplicate)
				}
			}
		}
	})
}

func writeNothing(context.Context, []int) ([]error, error) { return nil, nil }

// Batches purge as often as single ids do.
func TestBatchesPurge(t *testing.T) {
	t.Parallel()
	onBoth(t, dedupsql.Options{TTL: time.Millisecond}, func(t *testing.T, db *sql.DB, w *dedupsql.Window) {
		for n := range 8 {
			ids := make([]string, 100)
			for i := range ids {
				ids[i] = fmt.Sprint(n, "-", i)
			}
			if _, err := w.OnceEach(t.Context(), ids, writeNothing); err != nil {
				t.Fatal(err)
			}
			<-time.After(2 * time.Millisecond) // the clock is the database's
		}
		var n int
		if err := db.QueryRowContext(t.Context(), "SELECT count(*) FROM mqtt_dedup").Scan(&n); err != nil {
			t.Fatal(err)
		}
		if n > 300 {
			t.Errorf("%d ids left of 800 that have expired", n)
		}
	})
}

// BenchmarkOnceEach is BenchmarkOnce in batches of 200, one at a time.
func BenchmarkOnceEach(b *testing.B) {
	const size = 200
	db := sqlite(b)
	db.SetMaxOpenConns(1)
	w := window(b, db, dedupsql.Options{})
	if _, err := db.ExecContext(b.Context(), "PRAGMA synchronous=FULL"); err != nil {
		b.Fatal(err)
	}
	n := 0
	for b.Loop() {
		ids := make([]string, size)
		for i := range ids {
			n++
			ids[i] = fmt.Sprint(n)
		}
		if _, err := w.OnceEach(b.Context(), ids, writeNothing); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N*size)/b.Elapsed().Seconds(), "ids/s")
}
