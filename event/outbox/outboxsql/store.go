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
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"github.com/kratos-mqtt/kratos-mqtt/event/internal/optioncheck"
	"github.com/kratos-mqtt/kratos-mqtt/event/internal/sqldialect"
	"github.com/kratos-mqtt/kratos-mqtt/event/internal/tablesize"
	"github.com/kratos-mqtt/kratos-mqtt/event/outbox"
	"github.com/kratos-mqtt/kratos-mqtt/event/sqltx"
)

// Defaults of [Options].
const (
	DefaultTable      = "mqtt_outbox"
	DefaultMaxEntries = 1_000_000
	DefaultMaxBytes   = 1 << 30
	DefaultLease      = 10 * time.Second
	DefaultPatience   = 2 * time.Second
)

// Options set up a [Store]. The zero value is useful.
type Options struct {
	// Table is a plain identifier; a second table has "_lease" added. Default
	// "mqtt_outbox".
	Table string
	// Dialect of the database. Default: by the type of its driver.
	Dialect sqltx.Dialect
	// MaxEntries and MaxBytes bound what waits. They are exact for one process;
	// what others do is known after a second, or after twenty times what it takes
	// to count the table, so that processes that share one may exceed them by
	// what they accept in that time. Default 1,000,000 and 1 GiB.
	MaxEntries int
	MaxBytes   int64
	// MaxQuarantined is how many entries may be quarantined, and
	// MaxQuarantinedBytes their [outbox.Entry.Size]; what other processes do is
	// known after ten seconds, or after twenty times what it takes to read how much
	// each key has. Defaults 10,000 and 64 MiB. Of that a key has its share, see
	// [outbox.QuarantineUsage].
	MaxQuarantined      int
	MaxQuarantinedBytes int64
	// Owner names this store to the others and must be its own. Default: a random
	// name.
	Owner string
	// Lease is how long the others wait for the holder when it neither reads nor
	// ends, because it was killed, or because its broker is away and it has no
	// more room. Entries that it still has in flight then may be sent twice, with
	// the same id. Should the clock of the database go back, they wait for six of
	// their own: processes that share a table should have about the same. Default
	// 10 s.
	Lease time.Duration
	// Patience is how long, on PostgreSQL, a transaction that has appended and is
	// still open holds up the entries behind it. Then it is overtaken: nothing of
	// it is lost, a relay finds its entries when they are committed, but they are
	// sent after entries of their key that were appended later. It must be below
	// Lease. Default 2 s, and a fifth of Lease at most.
	Patience time.Duration
}

// Store is an outbox in a table. Its database must be opened so that writers
// wait for each other: SQLite with a busy timeout.
type Store struct {
	outbox.OneRelay
	db  *sql.DB
	o   Options
	sql statements

	appended chan struct{}
	gauge    tablesize.Gauge
	room     quarantineRoom
	first    atomic.Int64 // the seq that was first when somebody looked; 0 is unknown

	mu      sync.Mutex
	closed  bool
	leased  time.Time // until when, by our clock
	rival   rival     // that was seen last
	settled settled
}

var (
	_ outbox.Store   = (*Store)(nil)
	_ outbox.Claimer = (*Store)(nil)
)

// New opens no connection. The tables must be there before it is used: see
// Migrate and [Schema]. It reports all problems of the options at once.
func New(db *sql.DB, o Options) (*Store, error) {
	var errs []error
	o = o.withDefaults()
	if o.Dialect == "" {
		d, err := sqldialect.Of(db)
		o.Dialect = d
		errs = append(errs, err)
	}
	errs = append(errs, sqldialect.CheckName(o.Table))
	errs = append(errs, optioncheck.NotNegative("outboxsql", map[string]int64{
		"MaxEntries": int64(o.MaxEntries), "MaxBytes": o.MaxBytes,
		"MaxQuarantined": int64(o.MaxQuarantined), "MaxQuarantinedBytes": o.MaxQuarantinedBytes,
	}, map[string]time.Duration{"Lease": o.Lease, "Patience": o.Patience}))
	if o.Patience >= max(o.Lease, 1) { // who waits that long has lost it
		errs = append(errs, fmt.Errorf("outboxsql: Patience is %v, want less than the Lease of %v", o.Patience, o.Lease))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	s := &Store{db: db, o: o, sql: prepare(o.Dialect, o.Table), appended: make(chan struct{}, 1)}
	s.gauge.DB, s.gauge.Count = db, s.count
	s.gauge.Bound = tablesize.Amount{Rows: int64(o.MaxEntries), Bytes: o.MaxBytes}
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
	if o.MaxQuarantined == 0 {
		o.MaxQuarantined = outbox.DefaultMaxQuarantined
	}
	if o.MaxQuarantinedBytes == 0 {
		o.MaxQuarantinedBytes = outbox.DefaultMaxQuarantinedBytes
	}
	if o.Owner == "" {
		o.Owner = uuid.NewString()
	}
	if o.Lease == 0 {
		o.Lease = DefaultLease
	}
	if o.Patience == 0 {
		o.Patience = min(DefaultPatience, o.Lease/5)
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

// Appended implements [outbox.Store]. It is told of what this process accepted,
// in a transaction of [sqltx.Run] when that ends; what other processes accept,
// or a transaction whose end is not seen, is found by looking.
func (s *Store) Appended() <-chan struct{} { return s.appended }

func (s *Store) hint() {
	select {
	case s.appended <- struct{}{}:
	default:
	}
}

// Close gives the lease back. The database stays open: it is the caller's.
func (s *Store) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return outbox.ErrClosed
	}
	s.closed = true
	s.mu.Unlock()
	s.gauge.Close()
	ctx, cancel := context.WithTimeout(context.Background(), releaseTime)
	defer cancel()
	return s.giveBack(ctx)
}

// releaseTime bounds giving the lease back; otherwise it runs out.
const releaseTime = 2 * time.Second
