// Package dedupsql is a dedup window in a table of the service's database,
// SQLite or PostgreSQL. The id and the effect commit in one transaction, so
// that an effect happens once even if the process dies between the two.
//
// On SQLite the pool must be opened so that transactions take their write lock
// at once and wait for each other: with modernc.org/sqlite the DSN says
// _txlock=immediate and _pragma=busy_timeout(5000). PostgreSQL needs nothing.
package dedupsql

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/kratos-mqtt/kratos-mqtt/event/dedup"
	"github.com/kratos-mqtt/kratos-mqtt/event/internal/optioncheck"
	"github.com/kratos-mqtt/kratos-mqtt/event/internal/sqldialect"
	"github.com/kratos-mqtt/kratos-mqtt/event/sqltx"
)

// Defaults of [Options].
const (
	DefaultTable = "mqtt_dedup"
	DefaultTTL   = 24 * time.Hour
)

// Options set up a [Window]. The zero value is useful.
type Options struct {
	// Table is a plain identifier. Default "mqtt_dedup".
	Table string
	// Dialect of the database. Default: by the type of its driver.
	Dialect sqltx.Dialect
	// TTL is how long an id is remembered, by the clock of the database. It
	// should not be shorter than the broker keeps sessions. Default 24 h.
	TTL time.Duration
}

// Window is a [dedup.Window] in a table. Safe for concurrent use, also by
// several processes.
type Window struct {
	db    *sql.DB
	o     Options
	calls atomic.Uint64

	running dedup.Running
	purging sync.Mutex // of who purges after an effect; others do not wait

	claimOne, claimEach, releaseEach *sqltx.Prepared
	purge                            string
}

var _ dedup.Window = (*Window)(nil)

// purgeEvery is after how many ids expired ones are deleted, purgeLimit how
// many of them at most, and purgeTimeout how long that may take.
const (
	purgeEvery   = 256
	purgeLimit   = 1024
	purgeTimeout = 5 * time.Second
)

// New opens no connection. The table must be there before the window is used:
// see Migrate and [Schema]. It reports all problems of the options at once.
func New(db *sql.DB, o Options) (*Window, error) {
	var errs []error
	if o.Table == "" {
		o.Table = DefaultTable
	}
	if o.TTL == 0 {
		o.TTL = DefaultTTL
	}
	if o.Dialect == "" {
		d, err := sqldialect.Of(db)
		o.Dialect = d
		errs = append(errs, err)
	}
	errs = append(errs, optioncheck.NotNegative("dedupsql", nil, map[string]time.Duration{"TTL": o.TTL}))
	if err := errors.Join(append(errs, sqldialect.CheckName(o.Table))...); err != nil {
		return nil, err
	}
	text := func(s string) string {
		return strings.NewReplacer("{table}", o.Table, "{now}", sqldialect.Now(o.Dialect)).Replace(s)
	}
	purge := `DELETE FROM {table} WHERE id IN (SELECT id FROM {table} WHERE expires <= {now} ORDER BY expires LIMIT $1)`
	if o.Dialect == sqltx.Postgres {
		// The time changes within a statement, so that only a query of its own makes
		// a bound for the index of it; and only a list of places keeps the deletion
		// from joining the whole table. Several may purge at a time: a row that
		// another one has locked is left to it.
		purge = `DELETE FROM {table} WHERE ctid = ANY(ARRAY(SELECT ctid FROM {table} WHERE expires <= (SELECT {now})
	ORDER BY expires LIMIT $1 FOR UPDATE SKIP LOCKED))`
	}
	prepared := func(s string) *sqltx.Prepared { return sqltx.NewPrepared(db, o.Dialect, text(s)) }
	one, each, release := claims(o.Dialect)
	return &Window{
		db: db, o: o,
		claimOne: prepared(one), claimEach: prepared(each), releaseEach: prepared(release), purge: text(purge),
	}, nil
}

// Schema returns the statements that make the table, for who migrates with a tool
// of its own. They do nothing to a table that is there.
func Schema(table string) []string {
	return []string{
		fmt.Sprintf(`CREATE TABLE IF NOT EXISTS %s (
	id      TEXT   PRIMARY KEY,
	expires BIGINT NOT NULL -- milliseconds since 1970, by the clock of the database
)`, table),
		fmt.Sprintf(`CREATE INDEX IF NOT EXISTS %[1]s_expires ON %[1]s (expires)`, table),
	}
}

// Migrate makes the table if it is not there. Several processes may do so at
// the same time.
func (w *Window) Migrate(ctx context.Context) error {
	if err := sqldialect.Migrate(ctx, w.db, w.o.Dialect, Schema(w.o.Table)); err != nil {
		return fmt.Errorf("dedupsql: make table %s: %w", w.o.Table, err)
	}
	return nil
}

// Once implements [dedup.Window]. The effect runs in a transaction that ctx
// carries (package sqltx), that of the caller if there is one, and what it
// writes through that is committed with the id. When it fails in the
// transaction of a caller, the id and what the effect wrote there are undone by
// themselves. When the outcome of a commit stays unknown, because the connection
// was lost, Once returns an error, and the next delivery finds out.
//
// Of two calls with one id the second is told [dedup.ErrRunning]: at once when the
// first is in this window, else, on PostgreSQL, when it has waited 20 ms for the
// transaction of the first. On SQLite there is one writer at a time, so that calls of
// several processes, and others in one, wait for each other whatever their ids: in a
// pool of one connection within ctx, in a larger one as long as its busy_timeout says,
// and then it is an error.
func (w *Window) Once(ctx context.Context, id string, effect func(context.Context) error) (duplicate bool, err error) {
	if id == "" {
		return false, dedup.ErrNoID
	}
	if err := w.claimOne.Prepare(ctx); err != nil {
		return false, fmt.Errorf("dedupsql: %w", err)
	}
	key := stored(id)
	if err := w.running.Begin(key); err != nil {
		return false, err
	}
	defer w.running.End(key)
	due := false
	err = sqltx.Nested(ctx, w.db, func(ctx context.Context) error {
		fresh, err := w.claim(ctx, key)
		if err != nil {
			return fmt.Errorf("dedupsql: %w", err)
		}
		duplicate = !fresh
		if duplicate {
			return nil
		}
		due = w.calls.Add(1)%purgeEvery == 0
		return effect(ctx)
	})
	if due {
		w.purgeAfter(ctx)
	}
	return duplicate && err == nil, err
}

// purgeAfter purges once the transaction of ctx has ended, which is at once
// without one. The effect has happened, so that what goes wrong is left to the
// next purge.
func (w *Window) purgeAfter(ctx context.Context) {
	later := sqltx.With(context.WithoutCancel(ctx), nil)
	purge := func(committed bool) {
		if !committed || !w.purging.TryLock() { // only part of it may have ended
			return
		}
		defer w.purging.Unlock()
		ctx, cancel := context.WithTimeout(later, purgeTimeout)
		defer cancel()
		_, _ = w.purgeSome(ctx)
	}
	switch {
	case sqltx.From(ctx) == nil:
		purge(true)
	case !sqltx.OnEnd(ctx, purge):
		// Nobody tells its end, and another connection might wait for it.
		_ = sqltx.Nested(ctx, w.db, func(ctx context.Context) error { _, err := w.purgeSome(ctx); return err })
	}
}

// Purge deletes up to 1,024 expired ids and returns how many. Once does so
// after every 256th id, when its transaction has ended, within 5 s; in one of
// [sqltx.With], whose end is not told, before that. A service that is mostly
// idle may call it by itself.
func (w *Window) Purge(ctx context.Context) (int, error) {
	n, err := w.purgeSome(ctx)
	if err != nil {
		return 0, fmt.Errorf("dedupsql: purge: %w", err)
	}
	return n, nil
}

func (w *Window) purgeSome(ctx context.Context) (int, error) {
	result, err := sqltx.Or(ctx, w.db).ExecContext(ctx, w.purge, purgeLimit)
	if err != nil {
		return 0, err
	}
	n, err := result.RowsAffected()
	return int(n), err
}

// maxID is what an index of PostgreSQL takes easily.
const maxID = 512

// stored is the form of an id in the table: itself, or a hash of one that is
// too long, or no text that every database takes. Ids come from outside, and
// one that cannot be stored would fail for ever.
func stored(id string) string {
	if len(id) <= maxID && utf8.ValidString(id) && strings.IndexByte(id, 0) < 0 {
		return id
	}
	sum := sha256.Sum256([]byte(id))
	return "sha256:" + hex.EncodeToString(sum[:])
}
