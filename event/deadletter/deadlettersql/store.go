// Package deadlettersql keeps dead and parked letters in a table of the
// service's database, SQLite or PostgreSQL, where an operator can look at them
// with the tools that are there.
package deadlettersql

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event/deadletter"
	"github.com/kratos-mqtt/kratos-mqtt/event/message"
	"github.com/kratos-mqtt/kratos-mqtt/event/sqltx"
)

// Defaults of [Options].
const (
	DefaultTable      = "mqtt_dead_letter"
	DefaultMaxLetters = 100_000
)

// Options set up a [Store]. The zero value is useful.
type Options struct {
	// Table is a plain identifier. Default "mqtt_dead_letter".
	Table string
	// Dialect of the database. Default: by the type of its driver.
	Dialect sqltx.Dialect
	// MaxLetters bounds dead and parked letters together. Default 100,000.
	MaxLetters int
}

// Store is a [deadletter.Store] in a table. Safe for concurrent use, also by
// several processes.
type Store struct {
	db  *sql.DB
	o   Options
	sql statements
}

var _ deadletter.Store = (*Store)(nil)

// New opens no connection. The table must be there before the store is used:
// see Migrate and [Schema]. It reports all problems of the options at once.
func New(db *sql.DB, o Options) (*Store, error) {
	var errs []error
	if o.Table == "" {
		o.Table = DefaultTable
	}
	if o.MaxLetters == 0 {
		o.MaxLetters = DefaultMaxLetters
	}
	if o.Dialect == "" {
		d, err := sqltx.DialectOf(db)
		o.Dialect = d
		errs = append(errs, err)
	}
	if o.MaxLetters < 0 {
		errs = append(errs, fmt.Errorf("deadlettersql: at most %d letters", o.MaxLetters))
	}
	if err := errors.Join(append(errs, sqltx.Name(o.Table))...); err != nil {
		return nil, err
	}
	return &Store{db: db, o: o, sql: prepare(o.Dialect, o.Table)}, nil
}

// Migrate makes the table if it is not there.
func (s *Store) Migrate(ctx context.Context) error {
	for _, statement := range Schema(s.o.Dialect, s.o.Table) {
		if _, err := s.db.ExecContext(ctx, statement); err != nil {
			return fmt.Errorf("deadlettersql: make table %s: %w", s.o.Table, err)
		}
	}
	return nil
}

// String names the store in logs and hooks.
func (s *Store) String() string { return "table " + s.o.Table }

// Parks implements [deadletter.Store].
func (s *Store) Parks() bool { return true }

// Put implements [deadletter.Store]. It has a transaction of its own, whatever
// ctx carries: the letter must stay when the transaction of a failed handler
// does not.
func (s *Store) Put(ctx context.Context, l *deadletter.Letter) error {
	if l.ID == "" {
		return errors.New("deadlettersql: a letter without id")
	}
	args, err := values(l)
	if err != nil {
		return err
	}
	err = sqltx.Run(sqltx.With(ctx, nil), s.db, func(ctx context.Context) error {
		tx := sqltx.Or(ctx, s.db)
		result, err := tx.ExecContext(ctx, s.sql.update, args...)
		if err != nil {
			return err
		}
		if n, err := result.RowsAffected(); err != nil || n > 0 {
			return err
		}
		if s.sql.lock != "" {
			if _, err := tx.ExecContext(ctx, s.sql.lock); err != nil {
				return err
			}
		}
		var dead, parked int
		if err := tx.QueryRowContext(ctx, s.sql.stats).Scan(&dead, &parked); err != nil {
			return err
		}
		if dead+parked >= s.o.MaxLetters {
			return deadletter.ErrFull
		}
		_, err = tx.ExecContext(ctx, s.sql.insert, args...)
		return err
	})
	if err != nil {
		return fmt.Errorf("deadlettersql: put: %w", err)
	}
	return nil
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

// defaultLimit is that of [deadletter.Query].
const defaultLimit = 100

// List implements [deadletter.Store].
func (s *Store) List(ctx context.Context, q deadletter.Query) (letters []*deadletter.Letter, err error) {
	limit := q.Limit
	if limit <= 0 {
		limit = defaultLimit
	}
	rows, err := s.db.QueryContext(ctx, s.sql.list, q.After, string(q.State), q.Owner, q.Filter, limit)
	if err != nil {
		return nil, fmt.Errorf("deadlettersql: list: %w", err)
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		l, err := scan(rows)
		if err != nil {
			return nil, fmt.Errorf("deadlettersql: list: %w", err)
		}
		letters = append(letters, l)
	}
	return letters, rows.Err()
}

// Delete implements [deadletter.Store].
func (s *Store) Delete(ctx context.Context, ids ...string) error {
	for _, id := range ids {
		if _, err := s.db.ExecContext(ctx, s.sql.remove, id); err != nil {
			return fmt.Errorf("deadlettersql: delete: %w", err)
		}
	}
	return nil
}

// Stats implements [deadletter.Store].
func (s *Store) Stats(ctx context.Context) (deadletter.Stats, error) {
	st := deadletter.Stats{Max: s.o.MaxLetters}
	if err := s.db.QueryRowContext(ctx, s.sql.stats).Scan(&st.Dead, &st.Parked); err != nil {
		return deadletter.Stats{}, fmt.Errorf("deadlettersql: count: %w", err)
	}
	return st, nil
}

func values(l *deadletter.Letter) ([]any, error) {
	pairs := make([][2]string, len(l.Headers))
	for i, h := range l.Headers {
		pairs[i] = [2]string{h.Key, h.Value}
	}
	headers, err := json.Marshal(pairs)
	if err != nil {
		return nil, fmt.Errorf("deadlettersql: headers: %w", err)
	}
	return []any{
		l.ID, string(l.State), l.Owner, l.Filter, l.Key, l.Service, l.EventID, l.Reason, l.Attempts, micros(l.Received), micros(l.Time),
		l.Topic, notNil(l.Payload), int16(l.QoS), l.Retain, l.ContentType, l.ResponseTopic, notNil(l.CorrelationData), int64(l.Expiry), string(headers),
	}, nil
}

func scan(row interface{ Scan(dest ...any) error }) (*deadletter.Letter, error) {
	var (
		l                         deadletter.Letter
		received, written, expiry int64
		qos                       int16
		state, headers            string
		pairs                     [][2]string
	)
	err := row.Scan(&l.ID, &state, &l.Owner, &l.Filter, &l.Key, &l.Service, &l.EventID, &l.Reason, &l.Attempts, &received, &written,
		&l.Topic, &l.Payload, &qos, &l.Retain, &l.ContentType, &l.ResponseTopic, &l.CorrelationData, &expiry, &headers)
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal([]byte(headers), &pairs); err != nil {
		return nil, fmt.Errorf("letter %s: headers: %w", l.ID, err)
	}
	for _, p := range pairs {
		l.Headers = append(l.Headers, message.Header{Key: p[0], Value: p[1]})
	}
	l.State, l.QoS, l.Expiry = deadletter.State(state), byte(qos), time.Duration(expiry)
	l.Received, l.Time = moment(received), moment(written)
	return &l, nil
}

// micros keeps the zero time apart from 1970.
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

func notNil(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}
