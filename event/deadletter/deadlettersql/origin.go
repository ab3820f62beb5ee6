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
	"github.com/kratos-mqtt/kratos-mqtt/event/internal/tablesize"
)

// origins caches the use of some origins. It is read only while the table is more than half
// full, through an index, for at most 1/originShare of the time.
type origins struct {
	mu  sync.Mutex
	all map[int64]*origin
}

// origin is the use of one origin, read by one caller at a time. Its time is zero before the
// first read.
type origin struct {
	use     deadletter.Use
	at      time.Time
	cost    time.Duration
	reading chan struct{}  // closed at the end of a read; nil if none is running
	gone    deadletter.Use // deleted since the read began, which may have counted it
}

const (
	// maxOrigins is the maximum number of cached origins.
	maxOrigins = 1024
	// originAge is the maximum age of a cached value, which includes what this process has put
	// since. Reading may take 1/originShare of the time.
	originAge   = time.Second
	originShare = 20
)

// originOf returns the number of an origin in the table. It is a hash that is hard to collide
// with, so that a sender cannot use up the share of another origin.
func originOf(l *deadletter.Letter) int64 {
	sum := sha256.Sum256([]byte(l.Origin()))
	return int64(binary.BigEndian.Uint64(sum[:8]))
}

// shareOf returns [deadletter.ErrShare] if the origin of a letter has no room for this size,
// [deadletter.ErrUnfit] if the letter can never fit, or nil.
func (s *Store) shareOf(ctx context.Context, of, size int64) error {
	held, known := s.gauge.Known()
	if !known {
		held = tablesize.Amount{} // the first count is still running
	}
	own := func() (deadletter.Use, error) { return s.origin(ctx, of) }
	all := deadletter.Use{Letters: int(held.Rows), Bytes: held.Bytes}
	// ErrFull is left to the gauge, which may count again. A failed count does not prevent a
	// Put.
	if err := s.bounds.Room(size, all, own); errors.Is(err, deadletter.ErrShare) || errors.Is(err, deadletter.ErrUnfit) {
		return err
	}
	return nil
}

// origin returns the use of an origin. One caller at a time counts; others get the previous
// value if there is one.
func (s *Store) origin(ctx context.Context, of int64) (deadletter.Use, error) {
	known, done, err := s.origins.get(ctx, of)
	if err != nil || done == nil {
		return known, err
	}
	began := time.Now()
	var use deadletter.Use
	err = s.db.QueryRowContext(ctx, s.sql.origin, of, s.bounds.Letters).Scan(&use.Letters, &use.Bytes)
	if err != nil {
		done(nil)
		return use, fmt.Errorf("deadlettersql: count letters of one origin: %w", err)
	}
	return done(&origin{use: use, at: began, cost: time.Since(began)}), nil
}

// get returns the cached use of an origin. If done is not nil, the caller must count and call
// done with the result, or with nil on failure.
func (o *origins) get(ctx context.Context, of int64) (use deadletter.Use, done func(*origin) deadletter.Use, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for {
		known := o.all[of]
		if known == nil {
			if o.all == nil || len(o.all) >= maxOrigins {
				o.all = make(map[int64]*origin)
			}
			known = new(origin)
			o.all[of] = known
		}
		if !known.at.IsZero() && (known.reading != nil || time.Since(known.at) < max(originAge, originShare*known.cost)) {
			return known.use, nil, nil
		}
		if known.reading == nil {
			known.reading, known.gone = make(chan struct{}), deadletter.Use{}
			return use, func(read *origin) deadletter.Use { return o.read(known, read) }, nil
		}
		reading := known.reading
		o.mu.Unlock()
		select {
		case <-reading:
		case <-ctx.Done():
			err = ctx.Err()
		}
		o.mu.Lock()
		if err != nil {
			return use, nil, err
		}
	}
}

// read ends a read; nil means that it failed.
func (o *origins) read(known, read *origin) deadletter.Use {
	o.mu.Lock()
	defer o.mu.Unlock()
	close(known.reading)
	known.reading = nil
	if read != nil {
		known.use, known.at, known.cost = read.use, read.at, read.cost
		known.less(known.gone)
	}
	return known.use
}

// less subtracts deleted letters.
func (o *origin) less(by deadletter.Use) {
	o.use.Letters, o.use.Bytes = max(0, o.use.Letters-by.Letters), max(0, o.use.Bytes-by.Bytes)
}

// note adds a letter that this process has put.
func (o *origins) note(of, size int64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if known := o.all[of]; known != nil {
		known.use.Letters++
		known.use.Bytes += size
	}
}

// gone subtracts a letter that this process has deleted.
func (o *origins) gone(of, size int64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if known := o.all[of]; known != nil {
		known.less(deadletter.Use{Letters: 1, Bytes: size})
		known.gone.Letters++
		known.gone.Bytes += size
	}
}
