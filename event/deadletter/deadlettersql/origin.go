package deadlettersql

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event/deadletter"
)

// origins are what some origins have in the table, as of a moment ago. It is asked
// for only while the table is more than half full, and a read of it ends at the
// share, so that it costs the same however many letters there are.
type origins struct {
	mu  sync.Mutex
	all map[int64]*origin
}

// origin is what one has, counted at a time within cost.
type origin struct {
	use  deadletter.Use
	at   time.Time
	cost time.Duration
}

const (
	// maxOrigins bounds those that are remembered.
	maxOrigins = 1024
	// originAge is how old a figure may be, which follows what this process puts,
	// and originShare the part of the time that reading it may take.
	originAge   = time.Second
	originShare = 20
)

// originOf is the number by which the table knows an origin. Nobody can choose a
// topic that has the number of another.
func originOf(l *deadletter.Letter) int64 {
	sum := sha256.Sum256([]byte(l.Origin()))
	return int64(binary.BigEndian.Uint64(sum[:8]))
}

// shareOf is [deadletter.ErrShare] for a letter of this size that its origin has no
// room for.
func (s *Store) shareOf(ctx context.Context, of, size int64) error {
	held, known := s.gauge.Known()
	if !known {
		return nil // little is put before the first count has ended
	}
	own := func() (deadletter.Use, error) { return s.origin(ctx, of) }
	all := deadletter.Use{Letters: int(held.Rows), Bytes: held.Bytes}
	// That there is no room at all is for the gauge to tell, which may count again.
	// A count that fails stops nothing either.
	if err := s.bounds.Room(size, all, own); errors.Is(err, deadletter.ErrShare) {
		return err
	}
	return nil
}

// origin returns what one has, of which no more than its share is counted.
func (s *Store) origin(ctx context.Context, of int64) (deadletter.Use, error) {
	o := &s.origins
	o.mu.Lock()
	if known := o.all[of]; known != nil && time.Since(known.at) < max(originAge, originShare*known.cost) {
		defer o.mu.Unlock()
		return known.use, nil
	}
	o.mu.Unlock()
	began := time.Now()
	var use deadletter.Use
	if err := s.db.QueryRowContext(ctx, s.sql.origin, of, s.bounds.Letters).Scan(&use.Letters, &use.Bytes); err != nil {
		return use, fmt.Errorf("deadlettersql: count letters of one origin: %w", err)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.all == nil || len(o.all) >= maxOrigins {
		o.all = make(map[int64]*origin)
	}
	o.all[of] = &origin{use: use, at: began, cost: time.Since(began)}
	return use, nil
}

// note follows what this process puts.
func (o *origins) note(of, size int64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if known := o.all[of]; known != nil {
		known.use.Letters++
		known.use.Bytes += size
	}
}

// forget has all read again: letters were deleted.
func (o *origins) forget() {
	o.mu.Lock()
	defer o.mu.Unlock()
	clear(o.all)
}
