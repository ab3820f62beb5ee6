// Package dedupsql makes the effects of a message happen once, across crashes
// and in several processes: the id of the message is written in the same
// transaction as the effect.
//
//	window, err := dedupsql.New(db, dedupsql.Options{})
//	…
//	duplicate, err := window.Once(ctx, "orders/"+id, func(ctx context.Context) error {
//		_, err := sqltx.Or(ctx, db).ExecContext(ctx, "INSERT …")
//		return err
//	})
//
// Whatever the effect writes through package sqltx, messages for an outboxsql
// included, commits together with the id or not at all. What it does elsewhere
// may happen again.
//
// An effect holds its transaction from before it begins until after it ends. On
// SQLite that is the only writer meanwhile, so that effects should be short; the
// pool should have one connection, or a busy_timeout that covers an effect:
// without, two at the same time are an error for one, which is tried again.
package dedupsql

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/kratos-mqtt/kratos-mqtt/event/dedup"
	"github.com/kratos-mqtt/kratos-mqtt/event/internal/sqlstore"
	"github.com/kratos-mqtt/kratos-mqtt/event/sqltx"
)

// DefaultTable is the name of the table without another one.
const DefaultTable = "mqtt_dedup"

//go:embed migrations
var migrations embed.FS

// Migrations has the migration that makes the table, for goose and its like.
// Who wants another name for the table copies it.
func Migrations(d sqltx.Dialect) (fs.FS, error) { return sqlstore.Migrations(migrations, d) }

// Options set up a [Window]. The zero value is useful.
type Options struct {
	// Table is the name of the table. Default [DefaultTable].
	Table string
	// Dialect of the database. Default: by its driver.
	Dialect sqltx.Dialect
	// Window is how long an id is remembered, at least, by the clock of the
	// database; when that is set forward, ids are forgotten so much earlier. It
	// should be no shorter than the broker keeps a session, and the letters that
	// an operator may replay. Default 24 h.
	Window time.Duration
}

// Window is a [dedup.Window] in a table. It needs no Close and has no goroutine:
// every 256th call removes up to 1,024 ids that are older than the window.
type Window struct {
	table sqlstore.Table
	keep  time.Duration
	calls atomic.Uint64

	insert, purge string
}

var _ dedup.Window = (*Window)(nil)

const (
	purgeEvery = 256
	purgeMost  = 1024
)

// New returns a window. It does not ask the database; the table must be there
// before the first call, see [Window.Migrate]. It reports all problems of the
// options at once.
func New(db *sql.DB, o Options) (*Window, error) {
	if o.Table == "" {
		o.Table = DefaultTable
	}
	if o.Window == 0 {
		o.Window = 24 * time.Hour
	}
	w := &Window{table: sqlstore.Table{DB: db, Name: o.Table, Dialect: o.Dialect}, keep: o.Window}
	err := w.table.Check()
	if o.Window < 0 {
		err = errors.Join(err, fmt.Errorf("window is %v", o.Window))
	}
	if err != nil {
		return nil, fmt.Errorf("dedupsql: %w", err)
	}
	w.insert = w.table.SQL(`INSERT INTO {table} (id, seen) VALUES ($1, {now}) ON CONFLICT (id) DO NOTHING`)
	// Several may purge at a time: who finds a row locked leaves it to the other.
	skip := ""
	if w.table.Dialect == sqltx.Postgres {
		skip = " FOR UPDATE SKIP LOCKED"
	}
	w.purge = w.table.SQL(`DELETE FROM {table} WHERE id IN
		(SELECT id FROM {table} WHERE seen < {now} - $1 ORDER BY seen LIMIT $2` + skip + `)`)
	return w, nil
}

// Migrate makes the table if it is not there. It may be called at every start.
func (w *Window) Migrate(ctx context.Context) error {
	if err := w.table.Migrate(ctx, migrations, DefaultTable); err != nil {
		return fmt.Errorf("dedupsql: migrate: %w", err)
	}
	return nil
}

// Once implements [dedup.Window]. With a transaction in ctx the id and the
// effect are part of it, and are undone by themselves when the effect fails;
// otherwise it is a new one, which has committed when Once returns nil. When
// the outcome of that commit stays unknown, because the connection was lost,
// Once returns an error, and the next delivery finds out.
//
// A call waits for another one with the same id, also in another process,
// within ctx. An effect must not call Once with its own id, nor wait for
// another transaction that does.
func (w *Window) Once(ctx context.Context, id string, effect func(context.Context) error) (duplicate bool, err error) {
	err = sqltx.Nested(ctx, w.table.DB, func(ctx context.Context) error {
		var err error
		if duplicate, err = w.remember(ctx, id); err != nil {
			return fmt.Errorf("dedupsql: %w", err)
		}
		if duplicate {
			return nil
		}
		return effect(ctx)
	})
	return duplicate && err == nil, err
}

// remember writes the id, and reports whether it was there.
func (w *Window) remember(ctx context.Context, id string) (duplicate bool, err error) {
	tx := sqltx.From(ctx)
	result, err := tx.ExecContext(ctx, w.insert, stored(id))
	if err != nil {
		return false, err
	}
	n, err := result.RowsAffected()
	if err != nil || n == 0 {
		return err == nil, err
	}
	if w.calls.Add(1)%purgeEvery == 0 {
		_, err = w.purgeSome(ctx, tx, purgeMost)
	}
	return false, err
}

// Purge removes ids that are older than the window, as many as limit, and
// returns how many those were. Nobody has to call it.
func (w *Window) Purge(ctx context.Context, limit int) (int, error) {
	n, err := w.purgeSome(ctx, sqltx.Or(ctx, w.table.DB), limit)
	if err != nil {
		return 0, fmt.Errorf("dedupsql: purge: %w", err)
	}
	return n, nil
}

func (w *Window) purgeSome(ctx context.Context, q sqltx.Querier, limit int) (int, error) {
	result, err := q.ExecContext(ctx, w.purge, w.keep.Microseconds(), limit)
	if err != nil {
		return 0, err
	}
	n, err := result.RowsAffected()
	return int(n), err
}

// maxID is what an index of PostgreSQL takes easily.
const maxID = 512

// stored is the form of an id in the table: itself, or a hash of one that is
// too long or no text that every database takes. Ids come from outside.
func stored(id string) string {
	if len(id) <= maxID && utf8.ValidString(id) && !strings.ContainsRune(id, 0) {
		return id
	}
	sum := sha256.Sum256([]byte(id))
	return "sha256:" + hex.EncodeToString(sum[:])
}
