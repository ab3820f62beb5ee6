// Package outboxsql implements the transactional outbox: a table in the database of the
// service, SQLite or PostgreSQL. With a transaction in the context (package sqltx) a message
// is accepted together with the writes of the service, or not at all.
//
// Several processes may share a table. Only one of them sends at a time: it holds a lease, by
// the clock of the database, and another one takes over when it ends or its lease expires.
package outboxsql

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"github.com/kratos-mqtt/kratos-mqtt/event/internal/due"
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

// Options configures a [Store]. The zero value means the defaults.
type Options struct {
	// Table is the name of the table, a plain identifier; two more tables have the suffixes
	// "_delayed" and "_lease". Default "mqtt_outbox".
	Table string
	// Dialect is the SQL dialect of the database. Default: derived from the type of its
	// driver.
	Dialect sqltx.Dialect
	// MaxEntries and MaxBytes limit the waiting entries. They are exact for one process.
	// Changes of other processes are counted within a second, or within twenty times the
	// duration of a count of the table, so processes that share a table may exceed the limits
	// by what they accept in that time. Defaults 1,000,000 and 1 GiB.
	MaxEntries int
	MaxBytes   int64
	// MaxQuarantined is the maximum number of quarantined entries, and MaxQuarantinedBytes the
	// maximum of their total [outbox.Entry.Size]. Changes of other processes are counted
	// within ten seconds, or within twenty times the duration of a count by key. Defaults
	// 10,000 and 64 MiB. Each key is limited to a share of both, see [outbox.QuarantineUsage].
	MaxQuarantined      int
	MaxQuarantinedBytes int64
	// MaxDelayed is the maximum number of delayed entries, and MaxDelayedBytes the maximum of
	// their total [outbox.Entry.Size]; they are as exact as MaxEntries, and do not count for
	// it. Defaults 100,000 and 128 MiB.
	MaxDelayed      int
	MaxDelayedBytes int64
	// Owner identifies this store to the other processes and must be unique. Default: a random
	// name.
	Owner string
	// Lease is how long other processes wait for a holder that neither reads nor ends, because
	// it was killed, or because its broker is unreachable and it has no room for more
	// messages. Its entries in flight may then be sent twice, with the same id. If the clock
	// of the database is set back, they wait for six of their own leases, so processes that
	// share a table should use similar values. Default 10 s.
	Lease time.Duration
	// Patience is how long, on PostgreSQL, an open transaction that has appended entries
	// delays later entries. Then it is overtaken: its entries are not lost, a relay finds them
	// after the commit, but they are sent after entries with the same key that were appended
	// later. It must be less than Lease. Default 2 s, and at most a fifth of Lease.
	Patience time.Duration
}

// Store is an [outbox.Store] in a table. It is safe for concurrent use, also by several
// processes. Open the database so that writers wait for each other: SQLite with a busy
// timeout.
type Store struct {
	outbox.OneRelay
	*delays
	db  *sql.DB
	o   Options
	sql statements

	appended chan struct{}
	gauge    tablesize.Gauge
	room     quarantineRoom
	first    atomic.Int64 // the first seq when last read; 0 if unknown

	mu      sync.Mutex
	closed  bool
	leased  time.Time // end of our lease, by our clock
	rival   rival     // the last one seen
	settled settled
}

var (
	_ outbox.Store   = (*Store)(nil)
	_ outbox.Claimer = (*Store)(nil)
	_ outbox.Delayer = (*Store)(nil)
)

// New returns a store without opening a connection. The tables must exist before it is used:
// see Migrate and [Schema]. It returns all errors in the options, joined.
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
		"MaxDelayed": int64(o.MaxDelayed), "MaxDelayedBytes": o.MaxDelayedBytes,
	}, map[string]time.Duration{"Lease": o.Lease, "Patience": o.Patience}))
	if o.Patience >= max(o.Lease, 1) { // the lease would expire while waiting
		errs = append(errs, fmt.Errorf("outboxsql: Patience is %v, want less than the Lease of %v", o.Patience, o.Lease))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	s := &Store{db: db, o: o, sql: prepare(o.Dialect, o.Table), appended: make(chan struct{}, 1)}
	s.gauge.DB, s.gauge.Dialect, s.gauge.Count = db, o.Dialect, s.count
	s.gauge.Bound = tablesize.Amount{Rows: int64(o.MaxEntries), Bytes: o.MaxBytes}
	s.delays = newDelays(s)
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
	o.MaxDelayed = cmp.Or(o.MaxDelayed, outbox.DefaultMaxDelayed)
	o.MaxDelayedBytes = cmp.Or(o.MaxDelayedBytes, outbox.DefaultMaxDelayedBytes)
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

// Appended implements [outbox.Store]. It signals entries that this process accepted, for a
// transaction of [sqltx.Run] when it ends. Entries of other processes, or of transactions
// whose end is not known, are found by polling.
func (s *Store) Appended() <-chan struct{} { return s.appended }

func (s *Store) hint() { hint(s.appended) }

func hint(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// Close releases the lease. It does not close the database.
func (s *Store) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return outbox.ErrClosed
	}
	s.closed = true
	s.mu.Unlock()
	s.gauge.Close()
	s.delays.delayed.Close()
	ctx, cancel := context.WithTimeout(context.Background(), releaseTime)
	defer cancel()
	return s.giveBack(ctx)
}

// releaseTime limits the release of the lease; if it fails, the lease expires.
const releaseTime = 2 * time.Second

// Append implements [outbox.Store]. The entries are durable when the transaction commits: that
// of ctx, which must belong to the database of the store, or one of its own. An entry with
// invalid UTF-8 or a NUL character is refused.
func (s *Store) Append(ctx context.Context, entries ...*outbox.Entry) error {
	if err := s.usable(); err != nil {
		return err
	}
	now := time.Now().Truncate(time.Millisecond)
	var a, later tablesize.Amount
	for _, e := range entries {
		if err := check(e); err != nil {
			return err
		}
		to := &a
		if e.IsDelayed(now) {
			to = &later
		}
		to.Rows++
		to.Bytes += int64(e.Size())
	}
	if len(entries) == 0 {
		return nil
	}
	write := func() error {
		return s.delays.write(ctx, later, func() error { return s.insertAll(ctx, entries, now) })
	}
	if a.Rows == 0 {
		return failed("append", write())
	}
	room, err := s.gauge.Write(ctx, a, write)
	if err != nil {
		return failed("append", err)
	}
	if !room {
		return outbox.ErrFull
	}
	if !sqltx.OnEnd(ctx, func(bool) { s.hint() }) {
		s.hint()
	}
	return nil
}

func failed(what string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("outboxsql: %s: %w", what, full(err))
}

func (s *Store) insertAll(ctx context.Context, entries []*outbox.Entry, now time.Time) error {
	if len(entries) == 1 { // a single statement is a transaction
		return s.insert(ctx, entries[0], now)
	}
	return sqltx.Run(ctx, s.db, func(ctx context.Context) error {
		for _, e := range entries {
			if err := s.insert(ctx, e, now); err != nil {
				return err
			}
		}
		return nil
	})
}

func (s *Store) insert(ctx context.Context, e *outbox.Entry, now time.Time) error {
	headers, err := besides(e)
	if err != nil {
		return err
	}
	args := []any{
		e.ID, e.Key, e.Topic, sqldialect.NotNull(e.Payload), int16(e.QoS), e.Retain, e.ContentType, e.ResponseTopic,
		sqldialect.NotNull(e.CorrelationData), int64(e.Expiry), headers, now.UnixMilli(), int64(e.Size()),
	}
	statement := s.sql.insert
	if e.IsDelayed(now) {
		statement, args = s.delays.run.insert, append(args, due.Milli(e.Due))
	}
	var seq int64
	err = sqltx.Or(ctx, s.db).QueryRowContext(ctx, statement, args...).Scan(&seq)
	if err != nil {
		return err
	}
	e.Seq, e.Accepted = uint64(seq), now
	return nil
}

// removeMost is the number of entries that one statement deletes.
const removeMost = 500

// Delete implements [outbox.Store]. It deletes up to 500 entries per statement. On PostgreSQL,
// entries that are locked by another transaction are not deleted and are returned in an
// [outbox.BusyError].
func (s *Store) Delete(ctx context.Context, seqs ...uint64) error {
	if err := s.usable(); err != nil {
		return err
	}
	var busy []uint64
	for len(seqs) > 0 {
		n := min(len(seqs), removeMost)
		in, args := list(seqs[:n])
		took := 0
		err := s.gauge.Free(ctx, func() (a tablesize.Amount, err error) {
			a, took, err = s.take(ctx, s.db, strings.Replace(s.sql.remove, "{seqs}", in, 1), args...)
			return a, err
		})
		if err == nil && took < n {
			var left []uint64
			left, err = s.left(ctx, seqs[:n])
			busy = append(busy, left...)
		}
		if err != nil {
			return fmt.Errorf("outboxsql: delete: %w", full(err))
		}
		seqs = seqs[n:]
	}
	if len(busy) > 0 {
		return &outbox.BusyError{Seqs: busy}
	}
	return nil
}

// left returns which of some entries still exist because they were locked. It returns none on
// SQLite, where a writer locks the whole database.
func (s *Store) left(ctx context.Context, seqs []uint64) (left []uint64, err error) {
	if s.sql.left == "" {
		return nil, nil
	}
	in, args := list(seqs)
	rows, err := s.db.QueryContext(ctx, strings.Replace(s.sql.left, "{seqs}", in, 1), args...)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var seq int64
		if err := rows.Scan(&seq); err != nil {
			return nil, err
		}
		left = append(left, uint64(seq))
	}
	return left, rows.Err()
}

// take runs a statement that returns the size of each waiting entry that it removed. It
// returns their total, and the number of rows.
func (s *Store) take(ctx context.Context, q sqltx.Querier, query string, args ...any) (a tablesize.Amount, n int, err error) {
	rows, err := q.QueryContext(ctx, query, args...)
	if err != nil {
		return a, 0, err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var size int64
		var reason string
		if err := rows.Scan(&size, &reason); err != nil {
			return tablesize.Amount{}, 0, err
		}
		n++
		if reason != "" {
			s.room.add(-1, -size)
			continue
		}
		a.Rows++
		a.Bytes += size
	}
	return a, n, rows.Err()
}

// Stats implements [outbox.Store]. Changes of other processes may be missing for a second, or
// for twenty times the duration of a count of the table. Only the first call waits for a
// count.
func (s *Store) Stats(ctx context.Context) (outbox.Stats, error) {
	if err := s.usable(); err != nil {
		return outbox.Stats{}, err
	}
	held, err := s.gauge.Now(ctx)
	if err != nil {
		return outbox.Stats{}, err
	}
	st := outbox.Stats{
		Depth: int(held.Rows), Bytes: held.Bytes, MaxDepth: s.o.MaxEntries, MaxBytes: s.o.MaxBytes,
		MaxQuarantined: s.o.MaxQuarantined,
	}
	aside, err := s.room.now(ctx, s)
	if err != nil {
		return outbox.Stats{}, err
	}
	st.Quarantined = int(aside.Rows)
	first, oldest, err := s.oldest(ctx, sqltx.Or(ctx, s.db), s.first.Load())
	if err != nil {
		return outbox.Stats{}, err
	}
	if first > 0 {
		st.Oldest = time.UnixMilli(oldest)
		s.first.Store(first)
	}
	return st, s.delays.stats(ctx, &st)
}

// oldest returns the first waiting entry from a seq on, or 0. Starting from the beginning
// would make the database skip all deleted rows that it cannot remove yet because an old
// snapshot is open.
func (s *Store) oldest(ctx context.Context, q sqltx.Querier, from int64) (seq, accepted int64, err error) {
	err = q.QueryRowContext(ctx, s.sql.oldest, from).Scan(&seq, &accepted)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, 0, nil
	}
	if err != nil {
		return 0, 0, fmt.Errorf("outboxsql: oldest: %w", err)
	}
	return seq, accepted, nil
}

// count counts the whole table, for the gauge, in the background.
func (s *Store) count(ctx context.Context, q sqltx.Querier) (tablesize.Amount, error) {
	var a tablesize.Amount
	if err := q.QueryRowContext(ctx, s.sql.count).Scan(&a.Rows, &a.Bytes); err != nil {
		return tablesize.Amount{}, fmt.Errorf("outboxsql: count: %w", err)
	}
	// Entries that became visible late, or were moved back by another process, come first.
	first, _, err := s.oldest(ctx, q, 0)
	if err != nil {
		return tablesize.Amount{}, err
	}
	s.first.Store(first)
	return a, nil
}

// Migrate creates the tables if they do not exist. Several processes may call it at the same
// time.
func (s *Store) Migrate(ctx context.Context) error {
	if err := s.usable(); err != nil {
		return err
	}
	if err := sqldialect.Migrate(ctx, s.db, s.o.Dialect, Schema(s.o.Dialect, s.o.Table)); err != nil {
		return fmt.Errorf("outboxsql: make table %s: %w", s.o.Table, err)
	}
	return nil
}
