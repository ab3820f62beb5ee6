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
	"strings"
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

// Append implements [outbox.Store]. The entries are durable when the
// transaction commits: that of ctx, or one of its own. That of ctx must belong
// to the database of the store. An entry whose texts are no UTF-8 or have a NUL
// is refused.
func (s *Store) Append(ctx context.Context, entries ...*outbox.Entry) error {
	if err := s.usable(); err != nil {
		return err
	}
	a := tablesize.Amount{Rows: int64(len(entries))}
	for _, e := range entries {
		if err := check(e); err != nil {
			return err
		}
		a.Bytes += int64(e.Size())
	}
	if len(entries) == 0 {
		return nil
	}
	room, err := s.gauge.Write(ctx, a, func() error { return s.insertAll(ctx, entries) })
	if err != nil {
		return fmt.Errorf("outboxsql: append: %w", full(err))
	}
	if !room {
		return outbox.ErrFull
	}
	if !sqltx.OnEnd(ctx, func(bool) { s.hint() }) {
		s.hint()
	}
	return nil
}

func (s *Store) insertAll(ctx context.Context, entries []*outbox.Entry) error {
	now := time.Now().Truncate(time.Millisecond)
	if len(entries) == 1 { // a statement is a transaction
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
	var seq int64
	err = sqltx.Or(ctx, s.db).QueryRowContext(ctx, s.sql.insert,
		e.ID, e.Key, e.Topic, sqldialect.NotNull(e.Payload), int16(e.QoS), e.Retain, e.ContentType, e.ResponseTopic,
		sqldialect.NotNull(e.CorrelationData), int64(e.Expiry), headers, now.UnixMilli(), int64(e.Size())).Scan(&seq)
	if err != nil {
		return err
	}
	e.Seq, e.Accepted = uint64(seq), now
	return nil
}

// removeMost is how many entries one statement removes.
const removeMost = 500

// Delete implements [outbox.Store]. Entries are removed by 500. On PostgreSQL
// those that somebody else has locked are left, in an [outbox.BusyError].
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

// left are those of some entries that could not be taken: none on SQLite, where
// whoever writes has all of the database.
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

// take runs a statement that returns the size of each waiting entry that it
// took away, and how many rows there were.
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

// list is a list of parameters, and what they stand for.
func list(seqs []uint64) (parameters string, args []any) {
	for _, seq := range seqs {
		args = append(args, int64(seq))
	}
	return numbered(1, len(seqs)), args
}

// numbered are n parameters from $first on.
func numbered(first, n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, ", $%d", first+i)
	}
	return strings.TrimPrefix(b.String(), ", ")
}

// Stats implements [outbox.Store]. What other processes did may be missing for
// a second, or for twenty times what it takes to count the table. Only the first
// one waits for a count.
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
	return st, nil
}

// oldest is the first waiting entry from a seq on, 0 without one. From the start
// the database would go through all that was removed and cannot be forgotten
// yet, because an old snapshot is open.
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
	// What became visible late, or was put back by another process, is first.
	first, _, err := s.oldest(ctx, q, 0)
	if err != nil {
		return tablesize.Amount{}, err
	}
	s.first.Store(first)
	return a, nil
}

// Migrate makes the tables if they are not there. Several processes may do so
// at the same time.
func (s *Store) Migrate(ctx context.Context) error {
	if err := s.usable(); err != nil {
		return err
	}
	if err := sqldialect.Migrate(ctx, s.db, s.o.Dialect, Schema(s.o.Dialect, s.o.Table)); err != nil {
		return fmt.Errorf("outboxsql: make table %s: %w", s.o.Table, err)
	}
	return nil
}
