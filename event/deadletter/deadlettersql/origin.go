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

// origins are what some origins have in the table, as of a moment ago. They are asked
// for only while the table is more than half full, and read by an index, for at most
// originShare of the time.
type origins struct {
	mu  sync.Mutex
	all map[int64]*origin
}

// origin is what one has, counted at a time within cost. One that is not known yet has
// no time.
type origin struct {
	use     deadletter.Use
	at      time.Time
	cost    time.Duration
	reading chan struct{}  // closed at the end of a read; nil without one
	gone    deadletter.Use // since the read began, which may have counted it
}

const (
	// maxOrigins bounds those that are remembered.
	maxOrigins = 1024
	// originAge is how old a figure may be, which follows what this process puts.
	// Reading it may take one part of originShare of the time.
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
// room for, and [deadletter.ErrUnfit] for one that never has.
func (s *Store) shareOf(ctx context.Context, of, size int64) error {
	held, known := s.gauge.Known()
	if !known {
		held = tablesize.Amount{} // little is put before the first count has ended
	}
	own := func() (deadletter.Use, error) { return s.origin(ctx, of) }
	all := deadletter.Use{Letters: int(held.Rows), Bytes: held.Bytes}
	// That there is no room at all is for the gauge to tell, which may count again.
	// A count that fails stops nothing either.
	if err := s.bounds.Room(size, all, own); errors.Is(err, deadletter.ErrShare) || errors.Is(err, deadletter.ErrUnfit) {
		return err
	}
	return nil
}

// origin returns what one has. One caller at a time counts it; others get the figure of
// before, if there is one.
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

// get returns what is known of one, or has the caller count it, who calls done with the
// result or nil.
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

// read ends a read, of which nil failed.
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

// less notes that letters are gone.
func (o *origin) less(by deadletter.Use) {
	o.use.Letters, o.use.Bytes = max(0, o.use.Letters-by.Letters), max(0, o.use.Bytes-by.Bytes)
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

// gone follows what this process deletes.
func (o *origins) gone(of, size int64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if known := o.all[of]; known != nil {
		known.less(deadletter.Use{Letters: 1, Bytes: size})
		known.gone.Letters++
		known.gone.Bytes += size
	}
}
