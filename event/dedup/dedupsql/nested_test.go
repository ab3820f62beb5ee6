package dedupsql_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event/dedup"
	"github.com/kratos-mqtt/kratos-mqtt/event/dedup/dedupsql"
	"github.com/kratos-mqtt/kratos-mqtt/event/internal/sqldialect"
	"github.com/kratos-mqtt/kratos-mqtt/event/sqltx"
)

func nothing(context.Context) error { return nil }

// A caller whose transaction goes on after a failure must not commit the id of
// an effect that did not happen.
func TestFailureWithinATransaction(t *testing.T) {
	t.Parallel()
	onBoth(t, dedupsql.Options{}, func(t *testing.T, db *sql.DB, w *dedupsql.Window) {
		err := sqltx.Run(t.Context(), db, func(ctx context.Context) error {
			if err := write("caller")(ctx); err != nil {
				return err
			}
			if _, err := w.Once(ctx, "bad", func(ctx context.Context) error {
				_ = write("undone")(ctx)
				_, err := sqltx.From(ctx).ExecContext(ctx, "INSERT INTO nowhere VALUES (1)") // after this, PostgreSQL takes nothing more
				return err
			}); err == nil {
				t.Error("the effect failed and Once did not")
			}
			for _, want := range []bool{false, true} {
				if duplicate, err := w.Once(ctx, "good", write("good")); duplicate != want || err != nil {
					t.Errorf("Once after a failure: %v, %v", duplicate, err)
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if n := effects(t, db); n != 2 {
			t.Errorf("%d effects, want that of the caller and the good one", n)
		}
		for id, want := range map[string]bool{"bad": false, "good": true} {
			if duplicate, err := w.Once(t.Context(), id, nothing); duplicate != want || err != nil {
				t.Errorf("%s: %v, %v", id, duplicate, err)
			}
		}
	})
}

// An effect whose context ends before the commit has not happened.
func TestContextEndsBeforeTheCommit(t *testing.T) {
	t.Parallel()
	onBoth(t, dedupsql.Options{}, func(t *testing.T, db *sql.DB, w *dedupsql.Window) {
		ctx, cancel := context.WithCancel(t.Context())
		if _, err := w.Once(ctx, "a", func(ctx context.Context) error { defer cancel(); return write("a")(ctx) }); err == nil {
			t.Error("nil after the end of the context")
		}
		if duplicate, err := w.Once(t.Context(), "a", write("a")); duplicate || err != nil {
			t.Errorf("%v, %v", duplicate, err)
		}
		if n := effects(t, db); n != 1 {
			t.Errorf("%d effects", n)
		}
	})
}

// The second call with an id fails without waiting: at once in the same process, and soon in
// another process, here another window. SQLite has one writer at a time, whatever the ids are.
func TestSecondCallDoesNotWaitForTheFirst(t *testing.T) {
	t.Parallel()
	onBoth(t, dedupsql.Options{}, func(t *testing.T, db *sql.DB, w *dedupsql.Window) {
		dialect, err := sqldialect.Of(db)
		if err != nil {
			t.Fatal(err)
		}
		other, err := dedupsql.New(db, dedupsql.Options{})
		if err != nil {
			t.Fatal(err)
		}
		for id, failure := range map[string]error{"done": nil, "failed": errors.New("no luck")} {
			inside, release := make(chan struct{}), make(chan struct{})
			var wg sync.WaitGroup
			wg.Go(func() {
				_, _ = w.Once(t.Context(), id, func(ctx context.Context) error {
					close(inside)
					<-release
					return errors.Join(write(id)(ctx), failure)
				})
			})
			<-inside
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			defer cancel()
			_, err := w.Once(ctx, id, nothing)
			if _, told := errors.AsType[*dedup.RunningError](err); !told {
				t.Errorf("in this process: %v", err)
			}
			if dialect == sqltx.Postgres {
				if _, err := other.Once(ctx, id, nothing); !errors.Is(err, dedup.ErrRunning) {
					t.Errorf("in another process: %v", err)
				}
				if _, err := other.OnceEach(ctx, []string{"free", id}, nothingEach); !errors.Is(err, dedup.ErrRunning) {
					t.Errorf("in another process, in a batch: %v", err)
				}
			}
			close(release)
			wg.Wait()
			if duplicate, err := other.Once(t.Context(), id, write(id)); duplicate != (failure == nil) || err != nil {
				t.Errorf("after %v: %v, %v", failure, duplicate, err)
			}
		}
	})
}

// The time limit for waiting for an id does not apply to what the effect waits for.
func TestEffectWaitsAsItLikes(t *testing.T) {
	t.Parallel()
	onBoth(t, dedupsql.Options{}, func(t *testing.T, db *sql.DB, w *dedupsql.Window) {
		if d, err := sqldialect.Of(db); err != nil || d != sqltx.Postgres {
			t.Skip("no such limit")
		}
		err := sqltx.Run(t.Context(), db, func(ctx context.Context) error {
			if _, err := sqltx.From(ctx).ExecContext(ctx, "SET LOCAL lock_timeout = '7s'"); err != nil {
				return err
			}
			limit := func(ctx context.Context) error {
				var got string
				if err := sqltx.From(ctx).QueryRowContext(ctx, "SHOW lock_timeout").Scan(&got); err != nil || got != "7s" {
					t.Errorf("lock_timeout = %s, %v", got, err)
				}
				return nil
			}
			_, err := w.Once(ctx, "one", limit)
			if err != nil {
				return err
			}
			_, err = w.OnceEach(ctx, []string{"one", "two", "three"}, func(ctx context.Context, _ []int) ([]error, error) { return nil, limit(ctx) })
			return err
		})
		if err != nil {
			t.Error(err)
		}
	})
}

func nothingEach(context.Context, []int) ([]error, error) { return nil, nil }

// Ids come from outside: none of them may fail for ever.
func TestHostileIDs(t *testing.T) {
	t.Parallel()
	onBoth(t, dedupsql.Options{}, func(t *testing.T, _ *sql.DB, w *dedupsql.Window) {
		ids := []string{"nul\x00", "\xff", "\xfe", strings.Repeat("é", 5000), strings.Repeat("é", 5000) + "x", "'; DROP TABLE effect; --"}
		for _, want := range []bool{false, true} {
			for _, id := range ids {
				if duplicate, err := w.Once(t.Context(), id, nothing); duplicate != want || err != nil {
					t.Errorf("%.20q: %v, %v, want %v", id, duplicate, err, want)
				}
			}
		}
	})
}

// Expired ids are deleted faster than new ones come, also when a caller has the
// transaction.
func TestExpiredIDsGo(t *testing.T) {
	t.Parallel()
	onBoth(t, dedupsql.Options{TTL: time.Hour}, func(t *testing.T, db *sql.DB, w *dedupsql.Window) {
		many := func(prefix string, n int, then string) {
			t.Helper()
			err := sqltx.Run(t.Context(), db, func(ctx context.Context) error {
				for i := range n {
					if _, err := w.Once(ctx, fmt.Sprint(prefix, i), nothing); err != nil {
						return err
					}
				}
				_, err := sqltx.From(ctx).ExecContext(ctx, then)
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		many("old", 1000, "UPDATE mqtt_dedup SET expires = expires - 7200000")
		many("new", 300, "SELECT 1")
		var n int
		if err := db.QueryRowContext(t.Context(), "SELECT count(*) FROM mqtt_dedup").Scan(&n); err != nil || n != 300 {
			t.Errorf("%d ids are left, want the 300 new ones: %v", n, err)
		}
	})
}

// An effect within an effect that fails leaves neither id behind: the next
// delivery is no duplicate. stores.md 8.
func TestOnceInOnceFails(t *testing.T) {
	t.Parallel()
	onBoth(t, dedupsql.Options{}, func(t *testing.T, db *sql.DB, w *dedupsql.Window) {
		boom := errors.New("boom")
		outer := func(ctx context.Context, inner error) error {
			_, err := w.Once(ctx, "outer", func(ctx context.Context) error {
				if err := write("outer")(ctx); err != nil {
					return err
				}
				_, err := w.Once(ctx, "inner", func(ctx context.Context) error { return errors.Join(write("inner")(ctx), inner) })
				return err
			})
			return err
		}
		err := sqltx.Run(t.Context(), db, func(ctx context.Context) error {
			if err := outer(ctx, boom); !errors.Is(err, boom) {
				t.Errorf("%v", err)
			}
			return nil // the caller goes on, and commits
		})
		if err != nil {
			t.Fatal(err)
		}
		if n := effects(t, db); n != 0 {
			t.Errorf("%d effects of what failed", n)
		}
		if err := sqltx.Run(t.Context(), db, func(ctx context.Context) error { return outer(ctx, nil) }); err != nil {
			t.Fatal(err)
		}
		if n := effects(t, db); n != 2 {
			t.Errorf("%d effects of the second delivery, want 2", n)
		}
	})
}
