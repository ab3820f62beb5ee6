// Package dedupsql implements a dedup window in a table of the service's database, SQLite or
// PostgreSQL. The id and the effect are committed in one transaction, so the effect happens
// once even if the process crashes.
//
// On SQLite, open the pool so that transactions take their write lock at once and wait for
// each other: with modernc.org/sqlite set _txlock=immediate and _pragma=busy_timeout(5000) in
// the DSN. PostgreSQL needs no settings.
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

// Options configures a [Window]. The zero value means the defaults.
type Options struct {
	// Table is the name of the table, a plain identifier. Default "mqtt_dedup".
	Table string
	// Dialect is the SQL dialect of the database. Default: derived from the type of its
	// driver.
	Dialect sqltx.Dialect
	// TTL is how long an id is remembered, by the clock of the database. It should be at least
	// as long as the broker keeps sessions. Default 24 h.
	TTL time.Duration
}

// Window is a [dedup.Window] in a table. It is safe for concurrent use, also by several
// processes.
type Window struct {
	db    *sql.DB
	o     Options
	calls atomic.Uint64

	running dedup.Running
	purging sync.Mutex // held during a purge after an effect; other calls skip theirs

	claimOne, claimEach, releaseEach *sqltx.Prepared
	purge                            string
}

var _ dedup.Window = (*Window)(nil)

// purgeEvery is the number of ids after which expired ones are deleted, purgeLimit the maximum
// number deleted at a time, and purgeTimeout the time limit for it.
const (
	purgeEvery   = 256
	purgeLimit   = 1024
	purgeTimeout = 5 * time.Second
)

// New returns a window without opening a connection. The table must exist before the window is
// used: see Migrate and [Schema]. It returns all errors in the options, joined.
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
		// {now} changes within a statement, so only a subquery makes it a constant that the
		// index can use, and only an array of ctids keeps the deletion from joining the whole
		// table. Several processes may purge at the same time: rows that are locked by another
		// one are skipped.
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

// Schema returns the statements that create the table, for services with their own migration
// tool. They do nothing if the table exists.
func Schema(table string) []string {
	return []string{
		fmt.Sprintf(`CREATE TABLE IF NOT EXISTS %s (
	id      TEXT   PRIMARY KEY,
	expires BIGINT NOT NULL -- milliseconds since 1970, by the clock of the database
)`, table),
		fmt.Sprintf(`CREATE INDEX IF NOT EXISTS %[1]s_expires ON %[1]s (expires)`, table),
	}
}

// Migrate creates the table if it does not exist. Several processes may call it at the same
// time.
func (w *Window) Migrate(ctx context.Context) error {
	if err := sqldialect.Migrate(ctx, w.db, w.o.Dialect, Schema(w.o.Table)); err != nil {
		return fmt.Errorf("dedupsql: make table %s: %w", w.o.Table, err)
	}
	return nil
}

// Once implements [dedup.Window]. The effect runs in a transaction that its context carries
// (package sqltx): that of the caller if there is one. What the effect writes in it is
// committed together with the id. If the effect fails in a transaction of the caller, the id
// and the writes of the effect are rolled back, and the transaction can continue. If the
// connection is lost during a commit, its outcome is unknown: Once returns an error, and the
// next delivery of the message finds out.
//
// Of two concurrent calls with the same id, the second fails with [dedup.ErrRunning]: at once
// if both use this Window, else, on PostgreSQL, after waiting 20 ms for the transaction of the
// first. SQLite has one writer at a time, so calls of other processes, and other calls in this
// one, wait for each other whatever their ids: with a pool of one connection until ctx ends,
// with a larger one until its busy_timeout is over, which is an error.
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

// purgeAfter purges when the transaction of ctx has ended, or at once if there is none. The
// effect has already happened, so errors are ignored; the next purge tries again.
func (w *Window) purgeAfter(ctx context.Context) {
	later := sqltx.With(context.WithoutCancel(ctx), nil)
	purge := func(committed bool) {
		if !committed || !w.purging.TryLock() { // a nested part was rolled back, or another call purges
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
		// The end of the transaction is not reported, and another connection might wait for
		// it.
		_ = sqltx.Nested(ctx, w.db, func(ctx context.Context) error { _, err := w.purgeSome(ctx); return err })
	}
}

// Purge deletes up to 1,024 expired ids and returns their number. Once calls it after every
// 256th id, after the end of its transaction, for at most 5 s; in a transaction of
// [sqltx.With], whose end is not known, it purges within the transaction. A service that is
// mostly idle may call Purge itself.
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

// maxID is the maximum length in bytes of an id that is stored unchanged; an index of
// PostgreSQL accepts it easily.
const maxID = 512

// stored returns the form of an id in the table: the id itself, or a hash if it is too long or
// is not text that every database accepts. Ids come from other clients, and an id that cannot
// be stored would fail for ever.
func stored(id string) string {
	if len(id) <= maxID && utf8.ValidString(id) && strings.IndexByte(id, 0) < 0 {
		return id
	}
	sum := sha256.Sum256([]byte(id))
	return "sha256:" + hex.EncodeToString(sum[:])
}
