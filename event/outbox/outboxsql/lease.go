package outboxsql

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event/outbox"
)

// Hold implements [outbox.Store]: it takes the lease if it is free, and renews it when a third
// of it is over.
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
	if err == nil && n == 0 {
		n, err = s.succeed(ctx)
	}
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

// holds reports whether this process has the lease, as far as it knows.
func (s *Store) holds(now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.leased.After(now)
}

// rival is the lease of another process as last read, and since when it is unchanged.
type rival struct {
	owner   string
	expires int64
	since   time.Time
}

// silentLeases is how long, in multiples of our lease, the lease of another process may be
// unchanged. Its holder renews it when a third of it is over, so its lease may be longer than
// ours.
const silentLeases = 6

// succeed takes over the lease of a process that has not renewed it for long, although it has
// not expired: the clock of the database was set back, and otherwise no process would send
// until it catches up. It returns how many leases it has, 0 or 1.
func (s *Store) succeed(ctx context.Context) (int64, error) {
	var r rival
	err := s.db.QueryRowContext(ctx, s.sql.rival).Scan(&r.owner, &r.expires)
	if errors.Is(err, sql.ErrNoRows) { // released in the meantime
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	r.since = time.Now()
	s.mu.Lock()
	if r.owner == s.rival.owner && r.expires == s.rival.expires {
		r.since = s.rival.since
	}
	s.rival = r
	s.mu.Unlock()
	if time.Since(r.since) < silentLeases*s.o.Lease {
		return 0, nil
	}
	result, err := s.db.ExecContext(ctx, s.sql.succeed, s.o.Owner, s.o.Lease.Milliseconds(), r.owner, r.expires)
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}

// fullLease is how long the known state of the lease is trusted while it cannot be written.
const fullLease = time.Second

// holdWithout holds the lease although it cannot be written because the disk is full: the
// waiting entries must be sent to make room. No other process can take the lease either while
// the disk is full. If two processes start on a full disk, both may send the same entries,
// with the same ids.
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

// Yield implements [outbox.Store]: it releases the lease.
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
