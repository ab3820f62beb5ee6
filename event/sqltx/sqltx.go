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

func ignoreDone(err error) error {
	if errors.Is(err, sql.ErrTxDone) {
		return nil
	}
	return err
}
