// Package sqltx carries a database transaction in a context, so that stores of
// this module take part in the transaction of their caller: an effect, the id
// that makes it happen once, and the messages that follow from it commit
// together or not at all.
package sqltx

import (
	"context"
	"database/sql"
	"errors"
)

type key struct{}

// Querier is what [sql.DB] and [sql.Tx] have in common.
type Querier interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// With returns a context that carries tx; nil is none, whatever ctx carried.
// Nothing is committed by this package
// through such a context: that stays with the caller.
func With(ctx context.Context, tx *sql.Tx) context.Context { return context.WithValue(ctx, key{}, tx) }

// From returns the transaction of ctx, nil without one.
func From(ctx context.Context) *sql.Tx {
	tx, _ := ctx.Value(key{}).(*sql.Tx)
	return tx
}

// Or returns the transaction of ctx, and db without one.
func Or(ctx context.Context, db *sql.DB) Querier {
	if tx := From(ctx); tx != nil {
		return tx
	}
	return db
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
	done := false
	defer func() {
		if !done {
			err = errors.Join(err, ignoreDone(tx.Rollback()))
		}
	}()
	if err := f(With(ctx, tx)); err != nil {
		return err
	}
	done = true
	return tx.Commit()
}

// Nested is [Run] whose part of a transaction of ctx is undone by itself: when
// f fails or panics, what it wrote is rolled back to where it began, and the
// caller may go on with the transaction and commit the rest.
func Nested(ctx context.Context, db *sql.DB, f func(context.Context) error) (err error) {
	tx := From(ctx)
	if tx == nil {
		return Run(ctx, db, f)
	}
	if _, err := tx.ExecContext(ctx, "SAVEPOINT sqltx_nested"); err != nil {
		return err
	}
	done := false
	defer func() {
		if !done {
			// Also after the end of ctx: the caller may not look at the error.
			_, undo := tx.ExecContext(context.WithoutCancel(ctx), "ROLLBACK TO SAVEPOINT sqltx_nested")
			err = errors.Join(err, ignoreDone(undo))
		}
	}()
	if err := f(ctx); err != nil {
		return err
	}
	done = true
	_, err = tx.ExecContext(ctx, "RELEASE SAVEPOINT sqltx_nested")
	return err
}

func ignoreDone(err error) error {
	if errors.Is(err, sql.ErrTxDone) {
		return nil
	}
	return err
}
