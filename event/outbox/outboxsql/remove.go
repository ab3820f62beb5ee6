package outboxsql

import (
	"context"
	"fmt"
	"strings"

	"github.com/kratos-mqtt/kratos-mqtt/event/internal/fill"
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
		args := make([]any, n)
		for i, seq := range seqs[:n] {
			args[i] = int64(seq)
		}
		err := s.gauge.Free(func() (fill.Amount, error) {
			return s.take(ctx, strings.Replace(s.sql.remove, "{seqs}", parameters(n), 1), args...)
		})
		if err != nil {
			return fmt.Errorf("outboxsql: delete: %w", err)
		}
		seqs = seqs[n:]
	}
	return nil
}

// Quarantine implements [outbox.Store]. The entry stays in the table with the
// reason in its column "quarantined"; an operator who empties that column has
// it sent again.
func (s *Store) Quarantine(ctx context.Context, seq uint64, reason string) error {
	if err := s.usable(); err != nil {
		return err
	}
	if reason = clean(reason); reason == "" {
		reason = "no reason given"
	}
	err := s.gauge.Free(func() (fill.Amount, error) {
		a, err := s.take(ctx, s.sql.quarantine, int64(seq), reason)
		s.quarantined.Add(a.Rows)
		return a, err
	})
	if err != nil {
		return fmt.Errorf("outboxsql: quarantine: %w", err)
	}
	return nil
}

// take runs a statement that returns the size of each waiting entry that it
// took away.
func (s *Store) take(ctx context.Context, query string, args ...any) (a fill.Amount, err error) {
	rows, err := s.db.QueryContext(ctx, query, args...)
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
			s.quarantined.Add(-1)
			continue
		}
		a.Rows++
		a.Bytes += size
	}
	return a, rows.Err()
}

// parameters are $1 to $n.
func parameters(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, ", $%d", i+1)
	}
	return strings.TrimPrefix(b.String(), ", ")
}
