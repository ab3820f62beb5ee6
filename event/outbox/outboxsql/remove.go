package outboxsql

import (
	"context"
	"fmt"
	"strings"

	"github.com/kratos-mqtt/kratos-mqtt/event/internal/tablesize"
	"github.com/kratos-mqtt/kratos-mqtt/event/outbox"
	"github.com/kratos-mqtt/kratos-mqtt/event/sqltx"
)

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
