// Package sqltx carries a database transaction in a context, so that the stores of this module
// can take part in the transaction of their caller: the effect of a message, its id in a dedup
// window and the messages in an outbox are then committed together or not at all.
package sqltx

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"sync"
)

type key struct{}

// carried is the value in a context.
type carried struct {
	tx *sql.Tx
	// run is set if [Run] ends the transaction and then calls the functions in ends.
	run bool

	mu    sync.Mutex
	ends  []func(committed bool)
	saved int // number of savepoints, for their names
}

// savepoint returns a new name for a savepoint. Names are unique, because a database uses the
// latest of several savepoints with the same name.
func (c *carried) savepoint() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.saved++
	return fmt.Sprintf("sqltx_nested_%d", c.saved)
}

func (c *carried) onEnd(f func(bool)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ends = append(c.ends, f)
}

func (c *carried) registered() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.ends)
}

// tell calls the functions registered after the first n with the outcome.
func (c *carried) tell(n int, committed bool) {
	c.mu.Lock()
	ends := slices.Clone(c.ends[n:])
	c.ends = c.ends[:n]
	c.mu.Unlock()
	for _, f := range ends {
		f(committed)
	}
}

// Querier is implemented by [sql.DB] and [sql.Tx].
type Querier interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// Dialect is the SQL dialect of a database.
type Dialect string

// The dialects.
const (
	SQLite   Dialect = "sqlite"
	Postgres Dialect = "postgres"
)

// With returns a context that carries tx. A nil tx removes the transaction of ctx. The caller
// remains responsible for committing tx; this package does not.
func With(ctx context.Context, tx *sql.Tx) context.Context {
	return context.WithValue(ctx, key{}, &carried{tx: tx})
}

func in(ctx context.Context) *carried {
	if c, ok := ctx.Value(key{}).(*carried); ok && c.tx != nil {
		return c
	}
	return nil
}

// From returns the transaction of ctx, or nil.
func From(ctx context.Context) *sql.Tx {
	if c := in(ctx); c != nil {
		return c.tx
	}
	return nil
}

// Or returns the transaction of ctx, or db if ctx has none.
func Or(ctx context.Context, db *sql.DB) Querier {
	if tx := From(ctx); tx != nil {
		return tx
	}
	return db
}

// OnEnd registers f, which is called once when the transaction of ctx has ended. committed is
// true if the transaction was committed, as far as is known; it is false if the transaction,
// or the innermost [Nested] part of it, was rolled back. OnEnd returns false, and does not
// register f, if ctx has no transaction or one of [With], whose end this package does not see.
func OnEnd(ctx context.Context, f func(committed bool)) bool {
	c := in(ctx)
	if c == nil || !c.run {
		return false
	}
	c.onEnd(f)
	return true
}

// Run calls f with a transaction in its context. If ctx has a transaction, f runs in it.
// Otherwise Run begins one, commits it if f returns nil, and rolls it back if f fails or
// panics.
func Run(ctx context.Context, db *sql.DB, f func(context.Context) error) (err error) {
	if From(ctx) != nil {
		return f(ctx)
	}
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	c := &carried{tx: tx, run: true}
	done := false
	defer func() {
		if !done {
			err = errors.Join(err, ignoreDone(tx.Rollback()))
			c.tell(0, false)
		}
	}()
	if err := f(context.WithValue(ctx, key{}, c)); err != nil {
		return err
	}
	done = true
	err = tx.Commit()
	c.tell(0, err == nil)
	return err
}

// Nested is like [Run], but can undo its part of a transaction of ctx: if f fails or panics,
// everything f wrote is rolled back to a savepoint, and the caller may continue and commit the
// rest.
func Nested(ctx context.Context, db *sql.DB, f func(context.Context) error) (err error) {
	c := in(ctx)
	if c == nil {
		return Run(ctx, db, f)
	}
	name := c.savepoint()
	if _, err := c.tx.ExecContext(ctx, "SAVEPOINT "+name); err != nil {
		return err
	}
	before, done := c.registered(), false
	defer func() {
		if !done {
			// Undo even if ctx has ended: the caller may ignore the error and commit.
			err = errors.Join(err, ignoreDone(c.undo(context.WithoutCancel(ctx), name)))
			c.tell(before, false)
		}
	}()
	if err := f(ctx); err != nil {
		return err
	}
	done = true
	_, err = c.tx.ExecContext(ctx, "RELEASE SAVEPOINT "+name)
	return err
}

// undo rolls back to a savepoint and releases it; a rollback alone would keep it.
func (c *carried) undo(ctx context.Context, name string) error {
	if _, err := c.tx.ExecContext(ctx, "ROLLBACK TO SAVEPOINT "+name); err != nil {
		return err
	}
	_, err := c.tx.ExecContext(ctx, "RELEASE SAVEPOINT "+name)
	return err
}

func ignoreDone(err error) error {
	if errors.Is(err, sql.ErrTxDone) {
		return nil
	}
	return err
}
