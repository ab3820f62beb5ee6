// Package tablesize tracks how full a table is, for the SQL stores of package event.
package tablesize

import (
	"context"
	"database/sql"
	"sync"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event/sqltx"
)

// Amount is a number of rows and their size in bytes.
type Amount struct{ Rows, Bytes int64 }

func (a Amount) plus(b Amount) Amount  { return Amount{a.Rows + b.Rows, a.Bytes + b.Bytes} }
func (a Amount) minus(b Amount) Amount { return Amount{a.Rows - b.Rows, a.Bytes - b.Bytes} }

// over reports whether a exceeds a bound; 0 means no bound.
func (a Amount) over(bound Amount) bool {
	return bound.Rows > 0 && a.Rows > bound.Rows || bound.Bytes > 0 && a.Bytes > bound.Bytes
}

// Gauge tracks how full a table is. Counting a large table is slow, and a row with totals
// would make every writer wait for the transaction of the previous one. So the table is
// counted in the background from time to time, for at most a twentieth of the time, and the
// changes of this process are added in between. The value is exact unless other processes
// write. Their changes are counted a second after the value is requested, or after twenty
// times the duration of a count.
//
// A caller waits for a count only if it would be refused without one, or if there has been
// none yet; both wait until their context ends. Before the first count, a hundredth of Bound
// may be written.
type Gauge struct {
	// DB contains the table.
	DB *sql.DB
	// Dialect is that of DB.
	Dialect sqltx.Dialect
	// Bound is the limit of the table.
	Bound Amount
	// Count counts the table.
	Count func(ctx context.Context, q sqltx.Querier) (Amount, error)

	// gate is shared by writers, and held while a count takes its snapshot, but not while it
	// counts: the snapshot contains a write completely or not at all. Writes in the
	// transaction of a caller do not take part, because the caller may wait for others.
	gate gate

	mu       sync.Mutex
	held     Amount
	since    Amount // changes of held since the snapshot of the running count
	flying   Amount // being written and perhaps not committed
	within   int    // number of those in transactions of callers
	unsure   bool   // the last count may include some of them twice
	counted  time.Time
	cost     time.Duration // of the last count
	patience time.Duration // of the next count
	counting *counting     // nil if no count is running
	closed   bool
}

// counting is a running count.
type counting struct {
	done   chan struct{}
	cancel context.CancelFunc
	// Once done is closed:
	err     error
	expired bool // it took too long, and the next one may take longer
}

const (
	// maxAge is the age at which the table is counted again. If a caller needs or requests the
	// value, it may be as recent as the cost permits.
	maxAge    = time.Second
	costShare = 20
	// creditShare is the part of the bound that may be written before the first count has
	// ended.
	creditShare = 100
	// minPatience is the time limit of a count. A count that exceeds it is canceled, and the
	// next one may take twice as long.
	minPatience = 30 * time.Second
	maxPatience = 10 * time.Minute
)

// Write calls write if there is room for a, and reports whether there was.
func (g *Gauge) Write(ctx context.Context, a Amount, write func() error) (room bool, err error) {
	if g.due(maxAge) {
		g.start()
	}
	for range 2 {
		room, err := g.tryWrite(ctx, a, write)
		if room || err != nil {
			return room, err
		}
		if counted, err := g.recount(ctx); err != nil || !counted {
			return false, err
		}
	}
	return g.tryWrite(ctx, a, write)
}

// recount waits for a count if a newer value is permitted, and reports whether the value is
// newer now. Within a transaction that uses the only connection, nothing can be counted.
func (g *Gauge) recount(ctx context.Context) (bool, error) {
	if sqltx.From(ctx) != nil {
		if !g.mayRecount() {
			return false, nil
		}
		start := time.Now()
		a, err := g.Count(ctx, sqltx.From(ctx))
		if err == nil {
			g.mu.Lock()
			g.held, g.since, g.counted, g.cost, g.unsure = a, Amount{}, time.Now(), time.Since(start), false
			g.mu.Unlock()
		}
		return err == nil, err
	}
	g.mu.Lock()
	c := g.counting
	g.mu.Unlock()
	if c == nil {
		if !g.mayRecount() {
			return false, nil
		}
		c = g.start()
	}
	for {
		if err := c.wait(ctx); err == nil || !c.over() || ctx.Err() != nil {
			return true, err
		}
		c = g.start()
	}
}

func (c *counting) wait(ctx context.Context) error {
	select {
	case <-c.done:
		return c.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// over reports whether the count ended because it took too long.
func (c *counting) over() bool {
	select {
	case <-c.done:
		return c.expired
	default:
		return false
	}
}

func (g *Gauge) tryWrite(ctx context.Context, a Amount, write func() error) (room bool, err error) {
	if sqltx.From(ctx) == nil {
		if err := g.gate.share(ctx); err != nil {
			return false, err
		}
		defer g.gate.unshare()
	}
	if !g.reserve(a) {
		return false, nil
	}
	end := func(written bool) { g.landed(a, written) }
	if err := write(); err != nil {
		end(false)
		return true, err
	}
	g.enter(1)
	if sqltx.OnEnd(ctx, func(committed bool) { end(committed); g.enter(-1) }) {
		return true, nil
	}
	end(true)
	g.enter(-1)
	return true, nil
}

func (g *Gauge) enter(n int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.within += n
}

func (g *Gauge) reserve(a Amount) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	all := g.held.plus(g.flying).plus(a)
	if g.counted.IsZero() {
		if g.Bound.Rows > 0 && all.Rows > g.Bound.Rows/creditShare || g.Bound.Bytes > 0 && all.Bytes > g.Bound.Bytes/creditShare {
			return false
		}
	} else if all.over(g.Bound) {
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
		g.held, g.since = g.held.plus(a), g.since.plus(a)
	}
}

// Free calls free, which returns how much it removed.
func (g *Gauge) Free(ctx context.Context, free func() (Amount, error)) error {
	if err := g.gate.share(ctx); err != nil {
		return err
	}
	defer g.gate.unshare()
	a, err := free()
	g.mu.Lock()
	defer g.mu.Unlock()
	g.held, g.since = g.held.minus(a), g.since.minus(a)
	return err
}

// Known returns the current value without waiting; false before the first count has ended.
func (g *Gauge) Known() (Amount, bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	all := g.held.plus(g.flying)
	return Amount{max(all.Rows, 0), max(all.Bytes, 0)}, !g.counted.IsZero()
}

// Now returns the current value. If the cost of a count permits a newer one, the table is
// counted again in the background. The first count is waited for.
func (g *Gauge) Now(ctx context.Context) (Amount, error) {
	g.mu.Lock()
	known := !g.counted.IsZero()
	g.mu.Unlock()
	if !known {
		if _, err := g.recount(ctx); err != nil {
			return Amount{}, err
		}
	} else if g.due(0) {
		g.start()
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	return Amount{max(g.held.Rows, 0), max(g.held.Bytes, 0)}, nil
}

// mayRecount reports whether a count might find more room than the last one.
func (g *Gauge) mayRecount() bool {
	g.mu.Lock()
	unsure := g.unsure
	g.mu.Unlock()
	return unsure || g.due(0)
}

func (g *Gauge) due(age time.Duration) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.counted.IsZero() || time.Since(g.counted) > max(age, costShare*g.cost)
}
