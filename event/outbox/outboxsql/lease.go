package outboxsql

import (
	"context"
	"database/sql"
	"errors"
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
	if isFull(err) {
		return s.holdWithout(ctx, now, err)
	}
	if err != nil {
		return time.Time{}, fmt.Errorf("outboxsql: lease: %w", err)
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

// fullLease is how long what is known of the lease holds while it cannot be
// written.
const fullLease = time.Second

// holdWithout holds the lease although it cannot be written, because the disk is
// full: what waits is to be sent all the same, which is what makes room. Nobody
// else can take it either as long as that is so. Two processes that start on a
// full disk may both send, with the same ids.
func (s *Store) holdWithout(ctx context.Context, now time.Time, full error) (time.Time, error) {
	var owner string
	var over bool
	err := s.db.QueryRowContext(ctx, s.sql.holder).Scan(&owner, &over)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return time.Time{}, fmt.Errorf("outboxsql: lease: %w: %w", outbox.ErrFull, errors.Join(full, err))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err == nil && owner != s.o.Owner && !over {
		s.leased = time.Time{}
		return time.Time{}, outbox.ErrNotHolder
	}
	s.leased = now.Add(min(fullLease, s.o.Lease))
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
