package tablesize

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event/sqltx"
)

// table counts what others wrote, in this time.
type table struct {
	mu     sync.Mutex
	rows   int64
	takes  time.Duration
	counts int
	err    error
}

func (c *table) gauge(bound int64) *Gauge {
	return &Gauge{Bound: Amount{Rows: bound}, Count: func(context.Context, sqltx.Querier) (Amount, error) {
		c.mu.Lock()
		c.counts++
		rows := c.rows // of a snapshot
		c.mu.Unlock()
		<-time.After(c.takes) // of the clock of synctest
		return Amount{Rows: rows}, c.err
	}}
}

func (c *table) grow() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.rows++
	return nil
}

func (c *table) add(t *testing.T, g *Gauge, want bool) {
	t.Helper()
	room, err := g.Write(t.Context(), Amount{Rows: 1}, c.grow)
	if err != nil || room != want {
		t.Errorf("room %v, %v; want %v", room, err, want)
	}
}

func TestGaugeFollows(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := &table{takes: 10 * time.Millisecond}
		g := c.gauge(3)
		for range 3 {
			c.add(t, g, true)
		}
		c.add(t, g, false)
		if c.counts != 1 {
			t.Errorf("counted %d times", c.counts)
		}
		if err := g.Free(t.Context(), func() (Amount, error) { c.rows--; return Amount{Rows: 1}, nil }); err != nil {
			t.Fatal(err)
		}
		failure := errors.New("no luck")
		if _, err := g.Write(t.Context(), Amount{Rows: 1}, func() error { return failure }); !errors.Is(err, failure) {
			t.Errorf("Write: %v", err)
		}
		c.add(t, g, true)
		c.rows = 0 // another process
		c.add(t, g, false)
		<-time.After(201 * time.Millisecond) // 20 times what it takes to count
		c.add(t, g, true)
		if c.counts != 2 {
			t.Errorf("counted %d times", c.counts)
		}
		c.rows = 3
		<-time.After(1001 * time.Millisecond)
		if a, err := g.Now(t.Context()); err != nil || a.Rows != 1 {
			t.Errorf("Now waited for a count: %+v, %v", a, err)
		}
		<-time.After(11 * time.Millisecond)
		if a, err := g.Now(t.Context()); err != nil || a.Rows != 3 {
			t.Errorf("Now: %+v, %v", a, err)
		}
		c.add(t, g, false)
	})
}

// A count that takes long is made for a twentieth of the time at most.
func TestGaugeCountsSeldom(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := &table{takes: time.Second}
		g := c.gauge(1000)
		for range 1000 {
			c.add(t, g, true)
			<-time.After(100 * time.Millisecond)
		}
		if c.counts < 4 || c.counts > 6 {
			t.Errorf("counted %d times in 100 s", c.counts)
		}
	})
}

func TestGaugeTellsWhatFails(t *testing.T) {
	t.Parallel()
	c := &table{err: errors.New("no luck")}
	g := c.gauge(3)
	if _, err := g.Write(t.Context(), Amount{Rows: 1}, func() error { t.Error("written"); return nil }); !errors.Is(err, c.err) {
		t.Errorf("Write: %v", err)
	}
	if _, err := g.Now(t.Context()); !errors.Is(err, c.err) {
		t.Errorf("Now: %v", err)
	}
}
