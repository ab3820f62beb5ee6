// Package sqltx carries a database transaction in a context, so that stores of
// this module take part in the transaction of their caller: an effect, the id
// that makes it happen once, and the messages that follow from it commit
// together or not at all.
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

// carried is what a context carries.
type carried struct {
	tx *sql.Tx
	// run is set when [Run] ends the transaction, and then tells ends.
	run bool

	mu    sync.Mutex
	ends  []func(committed bool)
	saved int // savepoints that were made, for their names
}

// savepoint names a new one: each has its own name, because a database takes
// the youngest of several with one name.
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

// tell tells those who registered after the first n how it ended.
func (c *carried) tell(n int, committed bool) {
	c.mu.Lock()
	ends := slices.Clone(c.ends[n:])
	c.ends = c.ends[:n]
	c.mu.Unlock()
	for _, f := range ends {
		f(committed)
	}
}

// Querier is what [sql.DB] and [sql.Tx] have in common.
type Querier interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// Dialect is the SQL that a database speaks.
type Dialect string

// The dialects.
const (
	SQLite   Dialect = "sqlite"
	Postgres Dialect = "postgres"
)

// With returns a context that carries tx; nil is none, whatever ctx carried.
// Nothing is committed by this package through such a context: that stays with
// the caller.
func With(ctx context.Context, tx *sql.Tx) context.Context {
	return context.WithValue(ctx, key{}, &carried{tx: tx})
}

func in(ctx context.Context) *carried {
	if c, ok := ctx.Value(key{}).(*carried); ok && c.tx != nil {
		return c
	}
	return nil
}

// From returns the transaction of ctx, nil without one.
func From(ctx context.Context) *sql.Tx {
	if c := in(ctx); c != nil {
		return c.tx
	}
	return nil
}

// Or returns the transaction of ctx, and db without one.
func Or(ctx context.Context, db *sql.DB) Querier {
	if tx := From(ctx); tx != nil {
		return tx
	}
	return db
}

// OnEnd has f called once when the transaction of ctx has ended: whether it was
// committed, as far as is known, or what was written since the begin of the
// innermost [Nested] was rolled back. It reports whether that will be; it will
// not when ctx has no transaction, or one of [With], whose end nobody sees here.
func OnEnd(ctx context.Context, f func(committed bool)) bool {
	c := in(ctx)
	if c == nil || !c.run {
		return false
	}
	c.onEnd(f)
	return true
}

// Run calls f with a transaction in its context: that of ctx when there is one,
// else a new one, which it commits when f returned nil and otherwise, also on a
// panic, rolls back.
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

// Nested is [Run] whose part of a transaction of ctx is undone by itself: when
// f fails or panics, what it wrote is rolled back to where it began, and the
// caller may go on with the transaction and commit the rest.
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
			// Also after the end of ctx: the caller may not look at the error.
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

// undo rolls back to a savepoint and ends it, as a rollback alone leaves it
// there.
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
