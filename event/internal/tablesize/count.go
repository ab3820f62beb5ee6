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
	// snapshotTime is how long the gate may be held for the snapshot. A slower one is taken
	// while writes continue, and the value may be too high by them until the next count.
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
		c.expired = true
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
	q, end, slow, err := g.snapshot(ctx)
	if err != nil {
		return a, time.Since(start), err
	}
	defer end()
	if !slow { // waiting for a connection does not count
		start = time.Now()
	}
	a, err = g.Count(ctx, q)
	return a, time.Since(start), err
}

// snapshot takes a snapshot, and reports whether writes had to wait too long for it.
func (g *Gauge) snapshot(ctx context.Context) (q sqltx.Querier, end func(), slow bool, err error) {
	held := false
	for try := 0; try < gateTries && !held && ctx.Err() == nil; try++ {
		held = g.holdFor(ctx, gateTime)
	}
	if held {
		q, end, err = g.take(ctx, snapshotTime)
		g.gate.release()
		if !errors.Is(err, errTooLong) {
			return q, end, false, err
		}
	}
	if err := ctx.Err(); err != nil {
		return nil, nil, held, err
	}
	q, end, err = g.take(ctx, maxPatience) // ctx ends earlier
	g.mu.Lock()
	defer g.mu.Unlock()
	g.unsure = true
	return q, end, held, err
}

var errTooLong = errors.New("the snapshot took too long")

// take takes a snapshot within a limit, and begins to record changes in since. Changes of the
// meantime may be in both.
func (g *Gauge) take(ctx context.Context, limit time.Duration) (q sqltx.Querier, end func(), err error) {
	g.mu.Lock()
	g.since = Amount{}
	within := g.within
	g.mu.Unlock()
	end = func() {}
	if g.DB != nil {
		if q, end, err = g.begin(ctx, limit); err != nil {
			return nil, nil, err
		}
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.unsure = within > 0 || g.within > 0 || g.since != (Amount{})
	return q, end, nil
}

func (g *Gauge) holdFor(ctx context.Context, d time.Duration) bool {
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	return g.gate.hold(ctx) == nil
}

// begin begins a transaction that sees a single state of the database, or returns errTooLong.
func (g *Gauge) begin(ctx context.Context, limit time.Duration) (q sqltx.Querier, end func(), err error) {
	ctx, cancel := context.WithCancel(ctx)
	tooLong := time.AfterFunc(limit, cancel)
	read := "SELECT count(*) FROM (SELECT 1 FROM sqlite_master LIMIT 1) AS one"
	o := &sql.TxOptions{ReadOnly: true}
	if g.Dialect == sqltx.Postgres {
		read, o.Isolation = "SELECT 1", sql.LevelRepeatableRead
	}
	tx, err := g.DB.BeginTx(ctx, o)
	end = cancel
	if err == nil {
		end = func() { _ = tx.Rollback(); cancel() }
		var one int
		err = tx.QueryRowContext(ctx, read).Scan(&one) // takes the snapshot
	}
	if !tooLong.Stop() {
		err = errTooLong
	}
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
