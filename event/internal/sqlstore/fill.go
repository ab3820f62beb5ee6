package sqlstore

import (
	"context"
	"database/sql"
	"sync"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event/sqltx"
)

// Amount is how much a table holds.
type Amount struct{ Rows, Bytes int64 }

func (a Amount) plus(b Amount) Amount  { return Amount{a.Rows + b.Rows, a.Bytes + b.Bytes} }
func (a Amount) minus(b Amount) Amount { return Amount{a.Rows - b.Rows, a.Bytes - b.Bytes} }

// over reports whether a is beyond a bound; 0 is none.
func (a Amount) over(bound Amount) bool {
	return bound.Rows > 0 && a.Rows > bound.Rows || bound.Bytes > 0 && a.Bytes > bound.Bytes
}

// Fill knows how full a table is. To count a large table takes long, and a row
// of totals would make every writer wait for the transaction of the one before.
// So the table is counted now and then, for a twentieth of the time at most,
// and in between the figure follows what this process does. It is exact unless
// others write, or callers roll back; then it is right again after a second, or
// after twenty times what a count takes.
type Fill struct {
	// DB has the table.
	DB *sql.DB
	// Bound is what may be held.
	Bound Amount
	// Count counts.
	Count func(ctx context.Context, q sqltx.Querier) (Amount, error)

	// gate is held by who counts, and shared by those who write: a count sees
	// all of a write or nothing. What happens in the transaction of a caller
	// stays outside, because it may wait for others.
	gate sync.RWMutex

	mu      sync.Mutex
	held    Amount
	flying  Amount // about to be written
	counted time.Time
	cost    time.Duration // of the last count
}

// The ages at which the figure is counted anew. One that stands in the way, or
// that somebody asks for, may be as young as the cost permits; a caller's
// transaction is spared for longer.
const (
	maxAge       = time.Second
	maxAgeWithin = time.Minute
	costShare    = 20
)

// Write calls write if there is room for a, and reports whether there is.
func (f *Fill) Write(ctx context.Context, a Amount, write func() error) (room bool, err error) {
	if f.Bound == (Amount{}) {
		return true, write()
	}
	age, within := maxAge, sqltx.From(ctx) != nil
	if within {
		age = maxAgeWithin
	}
	for _, age := range []time.Duration{age, 0} {
		if err := f.refresh(ctx, age); err != nil {
			return false, err
		}
		if room, err = f.tryWrite(a, write, within); room {
			break
		}
	}
	return room, err
}

func (f *Fill) tryWrite(a Amount, write func() error, within bool) (room bool, err error) {
	if !within {
		f.gate.RLock()
		defer f.gate.RUnlock()
	}
	if !f.reserve(a) {
		return false, nil
	}
	written := false
	defer func() { f.landed(a, written) }() // also on a panic of a driver
	err = write()
	written = err == nil
	return true, err
}

func (f *Fill) reserve(a Amount) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.held.plus(f.flying).plus(a).over(f.Bound) {
		return false
	}
	f.flying = f.flying.plus(a)
	return true
}

func (f *Fill) landed(a Amount, written bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.flying = f.flying.minus(a)
	if written {
		f.held = f.held.plus(a)
	}
}

// Free calls free, which tells how much it removed.
func (f *Fill) Free(free func() (Amount, error)) error {
	f.gate.RLock()
	defer f.gate.RUnlock()
	a, err := free()
	f.mu.Lock()
	defer f.mu.Unlock()
	f.held = f.held.minus(a)
	return err
}

// Now is the figure, as young as the cost permits.
func (f *Fill) Now(ctx context.Context) (Amount, error) {
	if err := f.refresh(ctx, 0); err != nil {
		return Amount{}, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return Amount{max(f.held.Rows, 0), max(f.held.Bytes, 0)}, nil
}

// refresh counts when the figure is older than age.
func (f *Fill) refresh(ctx context.Context, age time.Duration) error {
	if !f.due(age) {
		return nil
	}
	if sqltx.From(ctx) == nil {
		f.gate.Lock()
		defer f.gate.Unlock()
		if !f.due(age) { // another one has counted meanwhile
			return nil
		}
	}
	start := time.Now()
	a, err := f.Count(ctx, sqltx.Or(ctx, f.DB))
	if err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.held, f.counted, f.cost = a, time.Now(), time.Since(start)
	return nil
}

func (f *Fill) due(age time.Duration) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.counted.IsZero() || time.Since(f.counted) > max(age, costShare*f.cost)
}
