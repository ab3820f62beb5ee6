package sqltx_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"testing"

	"go.uber.org/goleak"
	_ "modernc.org/sqlite"

	"github.com/kratos-mqtt/kratos-mqtt/event/sqltx"
	"github.com/kratos-mqtt/kratos-mqtt/internal/test/postgres"
)

var testdb = postgres.NewServer()

func TestMain(m *testing.M) { goleak.VerifyTestMain(testdb.Main(m)) }

// database is one with a table, and what the table has.
type database struct{ *sql.DB }

func onBoth(t *testing.T, test func(t *testing.T, db database)) {
	t.Helper()
	for name, open := range map[string]func(testing.TB) *sql.DB{
		"postgres": testdb.Open,
		"sqlite": func(tb testing.TB) *sql.DB {
			tb.Helper()
			db, err := sql.Open("sqlite", "file:"+filepath.Join(tb.TempDir(), "t.db"))
			if err != nil {
				tb.Fatal(err)
			}
			db.SetMaxOpenConns(1)
			tb.Cleanup(func() { _ = db.Close() })
			return db
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := open(t)
			if _, err := db.ExecContext(t.Context(), "CREATE TABLE t (n INTEGER)"); err != nil {
				t.Fatal(err)
			}
			test(t, database{db})
		})
	}
}

func (db database) insert(ctx context.Context, n int) error {
	_, err := sqltx.Or(ctx, db.DB).ExecContext(ctx, "INSERT INTO t VALUES ($1)", n)
	return err
}

func (db database) want(t *testing.T, want ...int) {
	t.Helper()
	rows, err := db.QueryContext(t.Context(), "SELECT n FROM t ORDER BY n")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var got []int
	for rows.Next() {
		var n int
		if err := rows.Scan(&n); err != nil {
			t.Fatal(err)
		}
		got = append(got, n)
	}
	if err := rows.Err(); err != nil || !slices.Equal(got, want) {
		t.Errorf("the table has %v, want %v: %v", got, want, err)
	}
}

var errBoom = errors.New("boom")

func TestRunCommitsOrNot(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, db database) {
		var ends []bool
		run := func(n int, end func() error) (err error) {
			defer func() {
				if recover() != nil {
					err = errBoom
				}
			}()
			return sqltx.Run(t.Context(), db.DB, func(ctx context.Context) error {
				if !sqltx.OnEnd(ctx, func(committed bool) { ends = append(ends, committed) }) {
					t.Error("the end is not told")
				}
				if err := sqltx.Run(ctx, db.DB, func(ctx context.Context) error { return db.insert(ctx, n) }); err != nil {
					return err
				}
				return end()
			})
		}
		for n, c := range []struct {
			end  func() error
			want error
		}{
			{func() error { return errBoom }, errBoom},
			{func() error { return nil }, nil},
			{func() error { panic("boom") }, errBoom},
		} {
			if err := run(n, c.end); !errors.Is(err, c.want) {
				t.Errorf("Run %d: %v", n, err)
			}
		}
		db.want(t, 1)
		if !slices.Equal(ends, []bool{false, true, false}) {
			t.Errorf("told %v", ends)
		}
	})
}

func TestNestedIsUndoneByItself(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, db database) {
		var told []string
		note := func(ctx context.Context, name string) {
			sqltx.OnEnd(ctx, func(committed bool) { told = append(told, fmt.Sprint(name, " ", committed)) })
		}
		nested := func(ctx context.Context, n int, then func(context.Context) error) error {
			return sqltx.Nested(ctx, db.DB, func(ctx context.Context) error {
				note(ctx, fmt.Sprint(n))
				return errors.Join(db.insert(ctx, n), then(ctx))
			})
		}
		good := func(context.Context) error { return nil }
		bad := func(ctx context.Context) error {
			_, err := sqltx.From(ctx).ExecContext(ctx, "nonsense")
			return err
		}
		err := sqltx.Run(t.Context(), db.DB, func(ctx context.Context) error {
			note(ctx, "outer")
			if err := nested(ctx, 1, bad); err == nil {
				t.Error("the error of a nested part is lost")
			}
			func() {
				defer func() {
					if recover() == nil {
						t.Error("the panic was swallowed")
					}
				}()
				_ = nested(ctx, 2, func(context.Context) error { panic("boom") })
			}()
			if err := nested(ctx, 3, func(ctx context.Context) error { _ = nested(ctx, 4, bad); return nested(ctx, 5, good) }); err != nil {
				t.Error(err)
			}
			ended, cancel := context.WithCancel(ctx)
			if err := nested(ended, 6, func(context.Context) error { cancel(); return errBoom }); !errors.Is(err, errBoom) {
				t.Error(err)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		db.want(t, 3, 5)
		if want := []string{"1 false", "2 false", "4 false", "6 false", "outer true", "3 true", "5 true"}; !slices.Equal(told, want) {
			t.Errorf("told %v, want %v", told, want)
		}
		if err := nested(t.Context(), 7, good); err != nil { // without a transaction, in one of its own
			t.Error(err)
		}
		db.want(t, 3, 5, 7)
	})
}

func TestWithLeavesTheEndToTheCaller(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, db database) {
		tx, err := db.BeginTx(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		ctx := sqltx.With(t.Context(), tx)
		if err := sqltx.Run(ctx, db.DB, func(ctx context.Context) error { return db.insert(ctx, 1) }); err != nil {
			t.Fatal(err)
		}
		if sqltx.OnEnd(ctx, func(bool) {}) {
			t.Error("promised to tell of an end that is not seen")
		}
		if sqltx.From(sqltx.With(ctx, nil)) != nil || sqltx.From(t.Context()) != nil {
			t.Error("a transaction out of nothing")
		}
		if err := tx.Rollback(); err != nil {
			t.Fatal(err)
		}
		db.want(t)
	})
}
