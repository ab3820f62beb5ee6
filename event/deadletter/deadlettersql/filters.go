package deadlettersql

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/kratos-mqtt/kratos-mqtt/event/deadletter"
	"github.com/kratos-mqtt/kratos-mqtt/event/sqltx"
)

var _ deadletter.FilterMemory = (*Store)(nil)

// Filters implements [deadletter.FilterMemory].
func (s *Store) Filters(ctx context.Context, clientID string) (filters []string, err error) {
	known, err := s.known(ctx, s.db, clean(clientID))
	if err != nil {
		return nil, fmt.Errorf("deadlettersql: read filters: %w", err)
	}
	filters = slices.AppendSeq(filters, maps.Keys(known))
	slices.Sort(filters) // a database may have a collation
	return filters, nil
}

// SetFilters implements [deadletter.FilterMemory], in its own transaction, which writes only
// the differences.
func (s *Store) SetFilters(ctx context.Context, clientID string, filters []string) error {
	clientID = clean(clientID)
	want := make(map[string]bool, len(filters))
	for _, f := range filters {
		want[clean(f)] = true
	}
	err := sqltx.Run(sqltx.With(ctx, nil), s.db, func(ctx context.Context) error {
		tx := sqltx.From(ctx)
		known, err := s.known(ctx, tx, clientID)
		if err != nil {
			return err
		}
		for f := range known {
			if want[f] {
				continue
			}
			if _, err := tx.ExecContext(ctx, s.sql.forget, clientID, f); err != nil {
				return err
			}
		}
		for f := range want {
			if known[f] {
				continue
			}
			// Another process with the same client id may have inserted it.
			if _, err := tx.ExecContext(ctx, s.sql.remember, clientID, f); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("deadlettersql: write filters: %w", err)
	}
	return nil
}

func (s *Store) known(ctx context.Context, q sqltx.Querier, clientID string) (map[string]bool, error) {
	rows, err := q.QueryContext(ctx, s.sql.filters, clientID)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	known := make(map[string]bool)
	for rows.Next() {
		var f string
		if err := rows.Scan(&f); err != nil {
			return nil, err
		}
		known[f] = true
	}
	return known, rows.Err()
}
