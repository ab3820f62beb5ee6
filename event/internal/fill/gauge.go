// Package fill tells the stores of package event that keep their data in a
// table how full that is.
package fill

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

// Gauge knows how full a table is. To count a large table takes long, and a row
// of totals would make every writer wait for the transaction of the one before.
// So the table is counted now and then, for a twentieth of the time at most,
// and in between the figure follows what this process does. It is exact unless
// others write; then it is right again after a second, or after twenty times
// what a count takes.
type Gauge struct {
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
	flying  Amount // written, or about to be, and perhaps not committed
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
func (g *Gauge) Write(ctx context.Context, a Amount, write func() error) (room bool, err error) {
	age := maxAge
	if sqltx.From(ctx) != nil {
		age = maxAgeWithin
	}
	for _, age := range []time.Duration{age, 0} {
		if err := g.refresh(ctx, age); err != nil {
			return false, err
		}
		if room, err = g.tryWrite(ctx, a, write); room {
			break
		}
	}
	return room, err
}

func (g *Gauge) tryWrite(ctx context.Context, a Amount, write func() error) (room bool, err error) {
	if sqltx.From(ctx) == nil {
		g.gate.RLock()
		defer g.gate.RUnlock()
	}
	if !g.reserve(a) {
		return false, nil
	}
	end := func(written bool) { g.landed(a, written) }
	if err := write(); err != nil {
		end(false)
		return true, err
	}
	if !sqltx.OnEnd(ctx, end) {
		end(true)
	}
	return true, nil
}

func (g *Gauge) reserve(a Amount) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.held.plus(g.flying).plus(a).over(g.Bound) {
		return false
	}
	g.flying = g.flying.plus(a)
	return true
}

func (g *Gauge) landed(a Amount, written bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.flying = g.flying.minus(a)
	if written {
		g.held = g.held.plus(a)
	}
}

// Free calls free, which tells how much it removed.
func (g *Gauge) Free(free func() (Amount, error)) error {
	g.gate.RLock()
	defer g.gate.RUnlock()
	a, err := free()
	g.mu.Lock()
	defer g.mu.Unlock()
	g.held = g.held.minus(a)
	return err
}

// Now is the figure, as young as the cost permits.
func (g *Gauge) Now(ctx context.Context) (Amount, error) {
	if err := g.refresh(ctx, 0); err != nil {
		return Amount{}, err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	return Amount{max(g.held.Rows, 0), max(g.held.Bytes, 0)}, nil
}

// refresh counts when the figure is older than age.
func (g *Gauge) refresh(ctx context.Context, age time.Duration) error {
	if !g.due(age) {
		return nil
	}
	if sqltx.From(ctx) == nil {
		g.gate.Lock()
		defer g.gate.Unlock()
		if !g.due(age) { // another one has counted meanwhile
			return nil
		}
	}
	start := time.Now()
	a, err := g.Count(ctx, sqltx.Or(ctx, g.DB))
	if err != nil {
		return err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.held, g.counted, g.cost = a, time.Now(), time.Since(start)
	return nil
}

func (g *Gauge) due(age time.Duration) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.counted.IsZero() || time.Since(g.counted) > max(age, costShare*g.cost)
}
