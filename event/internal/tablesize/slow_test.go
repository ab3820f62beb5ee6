package tablesize

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event/sqltx"
)

// stores.md 9: a count that hangs delays nobody: what is written goes by the
// figure of before, and a write that needs the count ends with its context.
func TestNobodyWaitsForACountThatHangs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var hang atomic.Bool
		g := &Gauge{Bound: Amount{Rows: 1000}, Count: func(ctx context.Context, _ sqltx.Querier) (Amount, error) {
			if hang.Load() {
				<-ctx.Done()
				return Amount{}, ctx.Err()
			}
			return Amount{Rows: 990}, nil
		}}
		defer g.Close()
		if _, err := g.Now(t.Context()); err != nil {
			t.Fatal(err)
		}
		hang.Store(true)
		<-time.After(2 * time.Second)
		wrote := 0
		write := func(rows int64) (bool, error) {
			ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
			defer cancel()
			began := time.Now()
			room, err := g.Write(ctx, Amount{Rows: rows}, func() error { wrote++; return nil })
			if took := time.Since(began); took > 300*time.Millisecond {
				t.Errorf("Write with 200 ms took %v", took)
			}
			return room, err
		}
		for range 5 {
			if room, err := write(1); !room || err != nil {
				t.Errorf("Write while a count hangs: %v, %v", room, err)
			}
			<-time.After(5 * time.Second)
		}
		if wrote != 5 {
			t.Errorf("%d were written, want 5", wrote)
		}
		if room, err := write(20); room || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Write that needs the count: %v, %v", room, err)
		}
		if err := g.Free(t.Context(), func() (Amount, error) { return Amount{Rows: 5}, nil }); err != nil {
			t.Error(err)
		}
	})
}

// stores.md 9: counts that take longer than the deadline of each write are made
// once for all of them, and the first writes wait for none.
func TestSlowCountsStopNoWrites(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := &table{rows: 200_000, takes: 20 * time.Second}
		g := c.gauge(1_000_000)
		defer g.Close()
		for range 50 {
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
			room, err := g.Write(ctx, Amount{Rows: 1}, c.grow)
			cancel()
			if !room || err != nil {
				t.Fatalf("Write: %v, %v", room, err)
			}
		}
		<-time.After(30 * time.Second)
		if a, err := g.Now(t.Context()); err != nil || a.Rows != 200_050 {
			t.Errorf("Now: %+v, %v", a, err)
		}
		if c.counts != 1 {
			t.Errorf("counted %d times", c.counts)
		}
	})
}

// Before the first count, a hundredth of the bound is taken, and no more.
func TestNothingBeyondTheCreditIsTakenUncounted(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := &table{rows: 1000, takes: time.Minute}
		g := c.gauge(1000)
		defer g.Close()
		taken := 0
		for range 50 {
			ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
			if room, _ := g.Write(ctx, Amount{Rows: 1}, func() error { return nil }); room {
				taken++
			}
			cancel()
		}
		if taken != 10 {
			t.Errorf("%d were taken, want 10", taken)
		}
	})
}

// A writer who hangs keeps neither a count nor the other writers.
func TestAWriterWhoHangsKeepsNobody(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := &table{takes: time.Millisecond}
		g := c.gauge(1_000_000)
		defer g.Close()
		free := make(chan struct{})
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			_, _ = g.Write(t.Context(), Amount{Rows: 1}, func() error { <-free; return nil })
		}()
		synctest.Wait()
		<-time.After(time.Minute)
		if _, err := g.Now(t.Context()); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if room, err := g.Write(ctx, Amount{Rows: 1}, func() error { return nil }); !room || err != nil {
			t.Errorf("Write: %v, %v", room, err)
		}
		close(free)
		<-ended
		<-time.After(time.Second)
	})
}
