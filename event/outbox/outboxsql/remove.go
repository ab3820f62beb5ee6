package outboxsql

import (
	"context"
	"fmt"
	"strings"

	"github.com/kratos-mqtt/kratos-mqtt/event/internal/fill"
	"github.com/kratos-mqtt/kratos-mqtt/event/sqltx"
)

// removeMost is how many entries one statement removes.
const removeMost = 500

// Delete implements [outbox.Store]. Entries are removed by 500.
func (s *Store) Delete(ctx context.Context, seqs ...uint64) error {
	if err := s.usable(); err != nil {
		return err
	}
	for len(seqs) > 0 {
		n := min(len(seqs), removeMost)
		in, args := list(seqs[:n])
		err := s.gauge.Free(ctx, func() (fill.Amount, error) {
			return s.take(ctx, s.db, strings.Replace(s.sql.remove, "{seqs}", in, 1), args...)
		})
		if err != nil {
			return fmt.Errorf("outboxsql: delete: %w", full(err))
		}
		seqs = seqs[n:]
	}
	return nil
}

// take runs a statement that returns the size of each waiting entry that it
// took away.
func (s *Store) take(ctx context.Context, q sqltx.Querier, query string, args ...any) (a fill.Amount, err error) {
	rows, err := q.QueryContext(ctx, query, args...)
	if err != nil {
		return a, err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var size int64
		var reason string
		if err := rows.Scan(&size, &reason); err != nil {
			return fill.Amount{}, err
		}
		if reason != "" {
			s.aside.add(-1, -size)
			continue
		}
		a.Rows++
		a.Bytes += size
	}
	return a, rows.Err()
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
