// Package deadlettersql stores dead and parked letters in a table of the service's database,
// SQLite or PostgreSQL, where an operator can query them with the usual tools.
package deadlettersql

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event/deadletter"
	"github.com/kratos-mqtt/kratos-mqtt/event/internal/headerjson"
	"github.com/kratos-mqtt/kratos-mqtt/event/internal/optioncheck"
	"github.com/kratos-mqtt/kratos-mqtt/event/internal/sqldialect"
	"github.com/kratos-mqtt/kratos-mqtt/event/internal/tablesize"
	"github.com/kratos-mqtt/kratos-mqtt/event/message"
	"github.com/kratos-mqtt/kratos-mqtt/event/sqltx"
)

// Defaults of [Options].
const (
	DefaultTable      = "mqtt_dead_letter"
	DefaultMaxLetters = deadletter.DefaultMaxLetters
	DefaultMaxBytes   = deadletter.DefaultMaxBytes
)

// Options configures a [Store]. The zero value means the defaults.
type Options struct {
	// Table is the name of the table, a plain identifier. Default "mqtt_dead_letter".
	Table string
	// Dialect is the SQL dialect of the database. Default: derived from the type of its
	// driver.
	Dialect sqltx.Dialect
	// MaxLetters is the maximum number of dead and parked letters together. It is exact for
	// one process; letters of other processes are counted within a second. Default 100,000.
	MaxLetters int
	// MaxBytes is the maximum of their total size ([deadletter.Letter.Size]), with the same
	// accuracy. Default 1 GiB.
	MaxBytes int64
	// Share limits the letters of one origin to 1/Share of either bound once the table is half
	// full. Letters of other processes are counted within a second. Default 8; 1 means no
	// limit per origin. See [deadletter.Bounds].
	Share int
}

// Store is a [deadletter.Store] in a table. It is safe for concurrent use, also by several
// processes.
type Store struct {
	db    *sql.DB
	o     Options
	sql   statements
	gauge tablesize.Gauge
	stats statistics

	bounds  deadletter.Bounds
	origins origins
}

var _ deadletter.Store = (*Store)(nil)

// New returns a store without opening a connection. The table must exist before the store is
// used: see Migrate and [Schema]. It returns all errors in the options, joined.
func New(db *sql.DB, o Options) (*Store, error) {
	var errs []error
	if o.Table == "" {
		o.Table = DefaultTable
	}
	if o.Dialect == "" {
		d, err := sqldialect.Of(db)
		o.Dialect = d
		errs = append(errs, err)
	}
	errs = append(errs, optioncheck.NotNegative("deadlettersql", map[string]int64{
		"MaxLetters": int64(o.MaxLetters), "MaxBytes": o.MaxBytes, "Share": int64(o.Share),
	}, nil))
	if err := errors.Join(append(errs, sqldialect.CheckName(o.Table))...); err != nil {
		return nil, err
	}
	s := &Store{db: db, o: o, sql: prepare(o.Dialect, o.Table)}
	s.bounds = deadletter.Bounds{Letters: o.MaxLetters, Bytes: o.MaxBytes, Share: o.Share}.WithDefaults()
	s.gauge.DB, s.gauge.Dialect, s.gauge.Count = db, o.Dialect, s.count
	s.gauge.Bound = tablesize.Amount{Rows: int64(s.bounds.Letters), Bytes: s.bounds.Bytes}
	return s, nil
}

// Migrate creates the tables if they do not exist, in the transaction of ctx or its own.
// Several processes may call it at the same time.
func (s *Store) Migrate(ctx context.Context) error {
	if err := sqldialect.Migrate(ctx, s.db, s.o.Dialect, Schema(s.o.Dialect, s.o.Table)); err != nil {
		return fmt.Errorf("deadlettersql: make table %s: %w", s.o.Table, err)
	}
	return nil
}

// String returns the name of the table, for logs and hooks.
func (s *Store) String() string { return "table " + s.o.Table }

// Parks implements [deadletter.Store].
func (s *Store) Parks() bool { return true }

// Put implements [deadletter.Store]. It always uses its own transaction, even if ctx carries
// one: the letter must be kept when the transaction of a failed handler is rolled back.
// Invalid UTF-8 and NUL characters, which not every database accepts, are replaced with
// U+FFFD.
func (s *Store) Put(ctx context.Context, l *deadletter.Letter) error {
	if l == nil || l.ID == "" {
		return errors.New("deadlettersql: a letter without id")
	}
	args, err := values(l)
	if err != nil {
		return err
	}
	ctx = sqltx.With(ctx, nil)
	replaced, err := s.affects(ctx, s.sql.update, args...)
	if err != nil {
		return putError(err)
	}
	if replaced > 0 {
		return nil
	}
	origin := originOf(l)
	if err := s.shareOf(ctx, origin, l.Size()); err != nil {
		return err
	}
	room, err := s.gauge.Write(ctx, tablesize.Amount{Rows: 1, Bytes: l.Size()}, func() error {
		_, err := s.affects(ctx, s.sql.insert, args...)
		return err
	})
	if err != nil {
		return putError(err)
	}
	if !room {
		return deadletter.ErrFull
	}
	s.origins.note(origin, l.Size())
	return nil
}

func (s *Store) affects(ctx context.Context, statement string, args ...any) (int64, error) {
	result, err := s.db.ExecContext(ctx, statement, args...)
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}

// count counts the whole table, for the gauge.
func (s *Store) count(ctx context.Context, q sqltx.Querier) (a tablesize.Amount, err error) {
	err = q.QueryRowContext(ctx, s.sql.count).Scan(&a.Rows, &a.Bytes)
	return a, err
}

// Get implements [deadletter.Store].
func (s *Store) Get(ctx context.Context, id string) (*deadletter.Letter, error) {
	l, err := scan(s.db.QueryRowContext(ctx, s.sql.get, id))
	if errors.Is(err, sql.ErrNoRows) {
		return nil, deadletter.ErrNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("deadlettersql: get: %w", err)
	}
	return l, nil
}

// List implements [deadletter.Store].
func (s *Store) List(ctx context.Context, q deadletter.Query) (letters []*deadletter.Letter, err error) {
	statement, args := s.sql.listing(q)
	rows, err := s.db.QueryContext(ctx, statement, args...)
	if err != nil {
		return nil, fmt.Errorf("deadlettersql: list: %w", err)
	}
	defer func() { _ = rows.Close() }()
	full := q.Full()
	for rows.Next() {
		l, err := scan(rows)
		if err != nil {
			return nil, fmt.Errorf("deadlettersql: list: %w", err)
		}
		if full(l) {
			return letters, nil
		}
		letters = append(letters, l)
	}
	return letters, rows.Err()
}

// removeMost is the number of letters that one statement deletes.
const removeMost = 500

// Delete implements [deadletter.Store]. It deletes up to 500 letters per statement.
func (s *Store) Delete(ctx context.Context, ids ...string) error {
	for part := range slices.Chunk(ids, removeMost) {
		args, parameters := make([]any, len(part)), make([]string, len(part))
		for i, id := range part {
			args[i], parameters[i] = id, fmt.Sprintf("$%d", i+1)
		}
		err := s.gauge.Free(ctx, func() (tablesize.Amount, error) {
			return s.remove(ctx, strings.Replace(s.sql.remove, "{ids}", strings.Join(parameters, ", "), 1), args)
		})
		if err != nil {
			return fmt.Errorf("deadlettersql: delete: %w", err)
		}
	}
	return nil
}

// remove runs a DELETE statement and returns how much it deleted.
func (s *Store) remove(ctx context.Context, statement string, args []any) (a tablesize.Amount, err error) {
	rows, err := s.db.QueryContext(ctx, statement, args...)
	if err != nil {
		return a, err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var bad unread // counts are right again after the next count
		var origin, size int64
		if err := rows.Scan(bad.number(&origin), bad.number(&size)); err != nil {
			return a, err
		}
		a.Rows, a.Bytes = a.Rows+1, a.Bytes+size
		s.origins.gone(origin, size)
	}
	return a, rows.Err()
}

func values(l *deadletter.Letter) ([]any, error) {
	list := make([]message.Header, len(l.Headers))
	for i, h := range l.Headers {
		list[i] = message.Header{Key: clean(h.Key), Value: clean(h.Value)}
	}
	headers, err := headerjson.Encode(list)
	if err != nil {
		return nil, fmt.Errorf("deadlettersql: headers: %w", err)
	}
	return []any{
		l.ID, string(l.State), clean(l.Owner), clean(l.Filter), clean(l.Key), clean(l.Service), clean(l.EventID), clean(l.Reason),
		l.Attempts, micros(l.Received), micros(l.Time), clean(l.Topic), sqldialect.NotNull(l.Payload), int16(l.QoS), l.Retain,
		clean(l.ContentType), clean(l.ResponseTopic), sqldialect.NotNull(l.CorrelationData), int64(l.Expiry), headers,
		micros(l.Until), l.Omitted.Size, clean(l.Omitted.SHA256), l.Omitted.More, originOf(l), l.Size(),
		clean(l.Operation), clean(l.ErrorType), clean(l.Replayed.String()), l.Fingerprint(),
	}, nil
}

// clean replaces what is not valid text with U+FFFD.
func clean(s string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "\uFFFD")
}

// micros maps the zero time to 0, which no other time has.
func micros(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

func moment(micros int64) time.Time {
	if micros == 0 {
		return time.Time{}
	}
	return time.UnixMicro(micros).UTC()
}

var _ deadletter.Claimer = (*Store)(nil)

// Claim implements [deadletter.Claimer], by the clock of the database.
func (s *Store) Claim(ctx context.Context, id string, d time.Duration) (bool, error) {
	n, err := s.affects(sqltx.With(ctx, nil), s.sql.claim, id, d.Milliseconds())
	if err != nil {
		return false, fmt.Errorf("deadlettersql: claim: %w", err)
	}
	return n > 0, nil
}

// Release implements [deadletter.Claimer].
func (s *Store) Release(ctx context.Context, id string) error {
	if _, err := s.affects(sqltx.With(ctx, nil), s.sql.release, id); err != nil {
		return fmt.Errorf("deadlettersql: release: %w", err)
	}
	return nil
}
