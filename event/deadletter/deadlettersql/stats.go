package deadlettersql

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event/deadletter"
)

// statistics counts letters for any number of callers at once. A count of a
// large table takes long, so that it is made for a twentieth of the time at
// most, and within a deadline of its own: a caller who gives up ends it for
// nobody.
type statistics struct {
	mu      sync.Mutex
	running chan struct{} // closed at the end of a count; nil without one
	last    deadletter.Stats
	err     error
	at      time.Time // the last count began
	cost    time.Duration
}

const (
	statsTimeout = 30 * time.Second
	statsShare   = 20
	// statsLarge is from how many letters on a count is not made each time.
	statsLarge = 100_000
)

// Stats implements [deadletter.Store]. From 100,000 letters on it may be as old
// as twenty times what counting them takes, some seconds; it waits for a count
// within ctx.
func (s *Store) Stats(ctx context.Context) (deadletter.Stats, error) {
	st := &s.stats
	st.mu.Lock()
	if st.running == nil {
		if st.err == nil && st.last.Dead+st.last.Parked >= statsLarge && time.Since(st.at) < statsShare*st.cost {
			defer st.mu.Unlock()
			return st.last, nil
		}
		st.running, st.at = make(chan struct{}), time.Now()
		go s.measure(context.WithoutCancel(ctx), st.running)
	}
	running := st.running
	st.mu.Unlock()
	select {
	case <-running:
	case <-ctx.Done():
		return deadletter.Stats{}, fmt.Errorf("deadlettersql: count: %w", ctx.Err())
	}
	st.mu.Lock()
	defer st.mu.Unlock()
	return st.last, st.err
}

// measure is the goroutine of one count.
func (s *Store) measure(ctx context.Context, done chan struct{}) {
	ctx, cancel := context.WithTimeout(ctx, statsTimeout)
	defer cancel()
	counted, err := s.countStates(ctx)
	st := &s.stats
	st.mu.Lock()
	defer st.mu.Unlock()
	st.last, st.err, st.cost, st.running = counted, err, time.Since(st.at), nil
	close(done)
}

func (s *Store) countStates(ctx context.Context) (st deadletter.Stats, err error) {
	rows, err := s.db.QueryContext(ctx, s.sql.stats)
	if err != nil {
		return st, fmt.Errorf("deadlettersql: count: %w", err)
	}
	defer func() { _ = rows.Close() }()
	st.Max, st.MaxBytes = s.bounds.Letters, s.bounds.Bytes
	for rows.Next() {
		var state string
		var n int
		if err := rows.Scan(&state, &n); err != nil {
			return deadletter.Stats{}, fmt.Errorf("deadlettersql: count: %w", err)
		}
		if deadletter.State(state) == deadletter.Parked {
			st.Parked += n
		} else {
			st.Dead += n
		}
	}
	if err := rows.Err(); err != nil {
		return deadletter.Stats{}, fmt.Errorf("deadlettersql: count: %w", err)
	}
	held, known := s.gauge.Known()
	if !known { // nothing was put yet
		if held, err = s.gauge.Now(ctx); err != nil {
			return deadletter.Stats{}, fmt.Errorf("deadlettersql: count: %w", err)
		}
	}
	st.Bytes = held.Bytes
	return st, nil
}
