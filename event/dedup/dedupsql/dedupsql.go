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
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event/dedup"
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

	forget, insert, purge string
}

var _ dedup.Window = (*Window)(nil)

// purgeEvery is after how many ids expired ones are deleted, purgeLimit how
// many of them at most.
const (
	purgeEvery = 1000
	purgeLimit = 5000
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
		d, err := sqltx.DialectOf(db)
		o.Dialect = d
		errs = append(errs, err)
	}
	if o.TTL < 0 {
		errs = append(errs, fmt.Errorf("dedupsql: TTL of %v", o.TTL))
	}
	if err := errors.Join(append(errs, sqltx.Name(o.Table))...); err != nil {
		return nil, err
	}
	text := func(s string) string {
		return strings.NewReplacer("{table}", o.Table, "{now}", o.Dialect.Now()).Replace(s)
	}
	return &Window{
		db: db, o: o,
		forget: text(`DELETE FROM {table} WHERE id = $1 AND expires <= {now}`),
		insert: text(`INSERT INTO {table} (id, expires) VALUES ($1, {now} + $2) ON CONFLICT (id) DO NOTHING`),
		purge:  text(`DELETE FROM {table} WHERE id IN (SELECT id FROM {table} WHERE expires <= {now} LIMIT $1)`),
	}, nil
}

// Schema gives the statements that make the table, for who migrates with a tool
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

// Migrate makes the table if it is not there.
func (w *Window) Migrate(ctx context.Context) error {
	for _, statement := range Schema(w.o.Table) {
		if _, err := w.db.ExecContext(ctx, statement); err != nil {
			return fmt.Errorf("dedupsql: make table %s: %w", w.o.Table, err)
		}
	}
	return nil
}

// Once implements [dedup.Window]. The effect runs in a transaction that ctx
// carries (package sqltx), that of the caller if there is one, and what it
// writes through that is committed with the id. Of two calls with one id the
// second waits in the database until the first has committed or rolled back.
func (w *Window) Once(ctx context.Context, id string, effect func(context.Context) error) (duplicate bool, err error) {
	if id == "" {
		return false, dedup.ErrNoID
	}
	err = sqltx.Run(ctx, w.db, func(ctx context.Context) error {
		fresh, err := w.claim(ctx, id)
		if err != nil {
			return fmt.Errorf("dedupsql: %w", err)
		}
		if !fresh {
			duplicate = true
			return nil
		}
		return effect(ctx)
	})
	if err != nil {
		return false, err
	}
	w.clean(ctx)
	return duplicate, nil
}

// claim reports whether the id was not there.
func (w *Window) claim(ctx context.Context, id string) (bool, error) {
	tx := sqltx.Or(ctx, w.db)
	for range 2 {
		result, err := tx.ExecContext(ctx, w.insert, id, w.o.TTL.Milliseconds())
		if err != nil {
			return false, err
		}
		if n, err := result.RowsAffected(); err != nil || n > 0 {
			return n > 0, err
		}
		// There already; it may have expired.
		result, err = tx.ExecContext(ctx, w.forget, id)
		if err != nil {
			return false, err
		}
		if n, err := result.RowsAffected(); err != nil || n == 0 {
			return false, err
		}
	}
	return false, nil
}

// clean deletes expired ids now and then. Its failure costs room only, and the
// next turn tries again.
func (w *Window) clean(ctx context.Context) {
	if w.calls.Add(1)%purgeEvery == 0 && sqltx.From(ctx) == nil {
		_, _ = w.Purge(ctx)
	}
}

// Purge deletes up to 5,000 expired ids and says how many. Once does so now and
// then; a service that is mostly idle may call it by itself.
func (w *Window) Purge(ctx context.Context) (int, error) {
	result, err := w.db.ExecContext(ctx, w.purge, purgeLimit)
	if err != nil {
		return 0, fmt.Errorf("dedupsql: purge: %w", err)
	}
	n, err := result.RowsAffected()
	return int(n), err
}
