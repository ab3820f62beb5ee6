package outboxsql

import (
	"context"
	"fmt"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event/outbox"
)

// Hold implements [outbox.Store]: it takes the lease when it is free, and renews
// it when a third of it is over.
func (s *Store) Hold(ctx context.Context) (time.Time, error) {
	if err := s.usable(); err != nil {
		return time.Time{}, err
	}
	now := time.Now()
	s.mu.Lock()
	until := s.leased
	s.mu.Unlock()
	if until.Sub(now) > s.o.Lease*2/3 {
		return until, nil
	}
	result, err := s.db.ExecContext(ctx, s.sql.claim, s.o.Owner, s.o.Lease.Milliseconds())
	if err != nil {
		return time.Time{}, fmt.Errorf("outboxsql: lease: %w", full(err))
	}
	n, err := result.RowsAffected()
	if err != nil {
		return time.Time{}, fmt.Errorf("outboxsql: lease: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if n == 0 {
		s.leased = time.Time{}
		return time.Time{}, outbox.ErrNotHolder
	}
	s.leased = now.Add(s.o.Lease)
	return s.leased, nil
}

// Yield implements [outbox.Store]: the lease is free at once.
func (s *Store) Yield(ctx context.Context) error {
	if err := s.usable(); err != nil {
		return err
	}
	return s.giveBack(ctx)
}

func (s *Store) giveBack(ctx context.Context) error {
	s.mu.Lock()
	held := !s.leased.IsZero()
	s.leased = time.Time{}
	s.mu.Unlock()
	if !held {
		return nil
	}
	if _, err := s.db.ExecContext(ctx, s.sql.release, s.o.Owner); err != nil {
		return fmt.Errorf("outboxsql: give the lease back: %w", err)
	}
	return nil
}
