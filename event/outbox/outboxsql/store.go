// Package outboxsql is the transactional outbox: a table in the database of the
// service, SQLite or PostgreSQL. With a transaction in the context (package
// sqltx) a message is accepted together with what the service writes, or not at
// all.
//
// Several processes may share a table. One at a time relays: it holds a lease,
// by the clock of the database, and the others take over when it ends or when
// the lease has run out.
package outboxsql

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/kratos-mqtt/kratos-mqtt/event/outbox"
	"github.com/kratos-mqtt/kratos-mqtt/event/sqltx"
)

// Defaults of [Options].
const (
	DefaultTable      = "mqtt_outbox"
	DefaultMaxEntries = 1_000_000
	DefaultMaxBytes   = 1 << 30
	DefaultLease      = 10 * time.Second
)

// Options set up a [Store]. The zero value is useful.
type Options struct {
	// Table is a plain identifier; a second table has "_lease" added. Default
	// "mqtt_outbox".
	Table string
	// Dialect of the database. Default: by the type of its driver.
	Dialect sqltx.Dialect
	// MaxEntries and MaxBytes bound what waits. They are compared with a count
	// that may be a second old, so that processes that share a table may exceed
	// them by what they accept in a second. Default 1,000,000 and 1 GiB.
	MaxEntries int
	MaxBytes   int64
	// Owner names this process to the others. Default: a random name.
	Owner string
	// Lease is how long after its end the others wait for a process that was
	// killed. Default 10 s.
	Lease time.Duration
}

// Store is an outbox in a table. Its database must be opened so that writers
// wait for each other: SQLite with a busy timeout.
type Store struct {
	db  *sql.DB
	o   Options
	sql statements

	appended chan struct{}
	again    *time.Timer // tells the relay of what was not settled

	mu      sync.Mutex
	closed  bool
	leased  time.Time // until when, by our clock
	settled settled
	size    size
}

var _ outbox.Store = (*Store)(nil)

// New opens no connection. The tables must be there before it is used: see
// Migrate and [Schema]. It reports all problems of the options at once.
func New(db *sql.DB, o Options) (*Store, error) {
	var errs []error
	o = o.withDefaults()
	if o.Dialect == "" {
		d, err := sqltx.DialectOf(db)
		o.Dialect = d
		errs = append(errs, err)
	}
	errs = append(errs, sqltx.Name(o.Table))
	if o.MaxEntries < 0 || o.MaxBytes < 0 {
		errs = append(errs, errors.New("outboxsql: negative bound"))
	}
	if o.Lease < 0 {
		errs = append(errs, fmt.Errorf("outboxsql: lease of %v", o.Lease))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	s := &Store{db: db, o: o, sql: prepare(o.Dialect, o.Table), appended: make(chan struct{}, 1)}
	s.again = time.AfterFunc(time.Hour, s.hint)
	s.again.Stop()
	return s, nil
}

func (o Options) withDefaults() Options {
	if o.Table == "" {
		o.Table = DefaultTable
	}
	if o.MaxEntries == 0 {
		o.MaxEntries = DefaultMaxEntries
	}
	if o.MaxBytes == 0 {
		o.MaxBytes = DefaultMaxBytes
	}
	if o.Owner == "" {
		o.Owner = uuid.NewString()
	}
	if o.Lease == 0 {
		o.Lease = DefaultLease
	}
	return o
}

func (s *Store) usable() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return outbox.ErrClosed
	}
	return nil
}

// Appended implements [outbox.Store]. It is told of what this process accepted
// without a transaction of the caller; the rest is found by looking.
func (s *Store) Appended() <-chan struct{} { return s.appended }

func (s *Store) hint() {
	select {
	case s.appended <- struct{}{}:
	default:
	}
}

// Delete implements [outbox.Store].
func (s *Store) Delete(ctx context.Context, seqs ...uint64) error {
	if err := s.usable(); err != nil {
		return err
	}
	for len(seqs) > 0 {
		n := min(len(seqs), 500)
		query, args := s.sql.remove, make([]any, n)
		for i, seq := range seqs[:n] {
			if i > 0 {
				query += ","
			}
			query += fmt.Sprintf("$%d", i+1)
			args[i] = int64(seq)
		}
		if _, err := s.db.ExecContext(ctx, query+")", args...); err != nil {
			return fmt.Errorf("outboxsql: delete: %w", err)
		}
		seqs = seqs[n:]
	}
	s.stale()
	return nil
}

// Quarantine implements [outbox.Store].
func (s *Store) Quarantine(ctx context.Context, seq uint64, reason string) error {
	if err := s.usable(); err != nil {
		return err
	}
	if reason == "" {
		reason = "no reason given"
	}
	if _, err := s.db.ExecContext(ctx, s.sql.quarantine, int64(seq), reason); err != nil {
		return fmt.Errorf("outboxsql: quarantine: %w", err)
	}
	s.stale()
	return nil
}

// Close gives the lease back. The database stays open: it is the caller's.
func (s *Store) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return outbox.ErrClosed
	}
	s.closed = true
	held := !s.leased.IsZero()
	s.mu.Unlock()
	s.again.Stop()
	if !held {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), releaseTime)
	defer cancel()
	if _, err := s.db.ExecContext(ctx, s.sql.release, s.o.Owner); err != nil {
		return fmt.Errorf("outboxsql: give the lease back: %w", err)
	}
	return nil
}

// releaseTime bounds giving the lease back; otherwise it runs out.
const releaseTime = 2 * time.Second
