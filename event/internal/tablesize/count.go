package tablesize

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event/sqltx"
)

const (
	// gateTime is how long a count waits for running writes while new ones must wait; then
	// those may start, and the count waits again, gateTries times in total. If writes are
	// still running, the value is too high by them until the next count.
	gateTime  = 200 * time.Millisecond
	gateTries = 8
	// snapshotTime is how long the gate may be held for the snapshot.
	snapshotTime = time.Second
)

// start starts a count in the background, unless one is running, and returns it.
func (g *Gauge) start() *counting {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.counting != nil {
		return g.counting
	}
	if g.closed {
		c := &counting{done: make(chan struct{}), err: errClosed}
		close(c.done)
		return c
	}
	g.patience = max(g.patience, minPatience)
	ctx, cancel := context.WithTimeout(context.Background(), g.patience)
	c := &counting{done: make(chan struct{}), cancel: cancel}
	g.counting = c
	go g.run(ctx, c)
	return c
}

var errClosed = errors.New("the count was ended")

func (g *Gauge) run(ctx context.Context, c *counting) {
	defer c.cancel()
	a, took, err := g.count(ctx)
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case err == nil:
		g.held, g.counted, g.cost, g.patience = a.plus(g.since), time.Now(), took, minPatience
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		g.patience = min(2*g.patience, maxPatience)
	}
	if err != nil && !g.counted.IsZero() { // the value still includes the changes of this process
		g.counted, g.cost = time.Now(), took
	}
	g.counting, c.err = nil, err
	close(c.done)
}

// count counts a snapshot of the table, and records in since the changes made after the
// snapshot.
func (g *Gauge) count(ctx context.Context) (a Amount, took time.Duration, err error) {
	start := time.Now()
	q, end, err := g.snapshot(ctx)
	if err != nil {
		return a, time.Since(start), err
	}
	defer end()
	start = time.Now() // waiting for a connection does not count
	a, err = g.Count(ctx, q)
	return a, time.Since(start), err
}

func (g *Gauge) snapshot(ctx context.Context) (q sqltx.Querier, end func(), err error) {
	held := false
	for try := 0; try < gateTries && !held && ctx.Err() == nil; try++ {
		held = g.holdFor(ctx, gateTime)
	}
	if held {
		defer g.gate.release()
	}
	if err := ctx.Err(); err != nil {
		return nil, nil, err
	}
	end = func() {}
	if g.DB != nil {
		if q, end, err = g.begin(ctx); err != nil {
			return nil, nil, err
		}
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.since, g.unsure = Amount{}, !held || g.within > 0
	return q, end, nil
}

func (g *Gauge) holdFor(ctx context.Context, d time.Duration) bool {
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	return g.gate.hold(ctx) == nil
}

// begin begins a transaction that sees a single state of the database.
func (g *Gauge) begin(ctx context.Context) (q sqltx.Querier, end func(), err error) {
	ctx, cancel := context.WithCancel(ctx)
	tooLong := time.AfterFunc(snapshotTime, cancel)
	read := "SELECT count(*) FROM (SELECT 1 FROM sqlite_master LIMIT 1) AS one"
	o := &sql.TxOptions{ReadOnly: true}
	if g.Dialect == sqltx.Postgres {
		read, o.Isolation = "SELECT 1", sql.LevelRepeatableRead
	}
	tx, err := g.DB.BeginTx(ctx, o)
	if err != nil {
		tooLong.Stop()
		cancel()
		return nil, nil, err
	}
	var one int
	err = tx.QueryRowContext(ctx, read).Scan(&one) // takes the snapshot
	if !tooLong.Stop() && err == nil {
		err = context.DeadlineExceeded
	}
	end = func() { _ = tx.Rollback(); cancel() }
	if err != nil {
		end()
		return nil, nil, err
	}
	return tx, end, nil
}

// Close cancels a running count and waits for its end. The value is kept.
func (g *Gauge) Close() {
	g.mu.Lock()
	g.closed = true
	c := g.counting
	g.mu.Unlock()
	if c != nil {
		c.cancel()
		<-c.done
	}
}
