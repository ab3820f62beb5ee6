package deadlettersql

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event/deadletter"
)

// statistics counts letters for any number of concurrent callers. Counting a large table is
// slow, so it takes at most a twentieth of the time. A count has its own deadline: a caller
// whose context ends does not end it for others.
type statistics struct {
	mu      sync.Mutex
	running chan struct{} // closed at the end of a count; nil if none is running
	last    deadletter.Stats
	err     error
	at      time.Time // start of the last count
	cost    time.Duration
}

const (
	statsTimeout = 30 * time.Second
	statsShare   = 20
	// statsLarge is the number of letters from which on results are cached.
	statsLarge = 100_000
)

// Stats implements [deadletter.Store]. From 100,000 letters on, the result may be as old as
// twenty times the duration of a count, some seconds. Stats waits for a running count until
// ctx ends.
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

// measure runs one count on its own goroutine.
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
	if !known { // nothing was put since the start
		if held, err = s.gauge.Now(ctx); err != nil {
			return deadletter.Stats{}, fmt.Errorf("deadlettersql: count: %w", err)
		}
	}
	st.Bytes = held.Bytes
	return st, nil
}

const (
	groupsTimeout = 10 * time.Second
	// groupsCount is the number of letters that one call counts, over all groups: so its
	// duration does not grow with the table.
	groupsCount = 100_000
)

var _ deadletter.Grouper = (*Store)(nil)

// Groups implements [deadletter.Grouper] by an index. It looks up each cause and counts its
// letters, up to 100,000 divided by the number of groups. It has its own deadline of 10 s, and
// holds no lock.
func (s *Store) Groups(ctx context.Context, state deadletter.State, after string, limit int) ([]deadletter.GroupCount, error) {
	ctx, cancel := context.WithTimeout(ctx, groupsTimeout)
	defer cancel()
	groups, err := s.groups(ctx, state, after, limit)
	if err != nil {
		return nil, fmt.Errorf("deadlettersql: groups: %w", err)
	}
	return groups, nil
}

func (s *Store) groups(ctx context.Context, state deadletter.State, after string, limit int) (groups []deadletter.GroupCount, err error) {
	var n int
	if err := s.db.QueryRowContext(ctx, s.sql.causes, string(state), after, limit).Scan(&n); err != nil || n == 0 {
		return nil, err
	}
	most := max(1, groupsCount/n)
	rows, err := s.db.QueryContext(ctx, s.sql.groups, string(state), after, limit, most+1)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var g deadletter.GroupCount
		if err := rows.Scan(&g.Fingerprint, &g.Count, &g.FirstID, &g.LastID); err != nil {
			return nil, err
		}
		if g.Count > most {
			g.Count, g.AtLeast = most, true
		}
		groups = append(groups, g)
	}
	return groups, rows.Err()
}
