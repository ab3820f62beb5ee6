package outboxsql_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event/outbox"
	"github.com/kratos-mqtt/kratos-mqtt/event/outbox/outboxsql"
)

// A process that was killed leaves its lease. When the clock of the database goes
// back then, by an hour here, nobody waits for an hour.
func TestLeaseWhenTheClockGoesBack(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, open func(testing.TB) *sql.DB) {
		db := open(t)
		const lease = 100 * time.Millisecond
		killed := store(t, db, outboxsql.Options{Lease: time.Hour})
		s := store(t, db, outboxsql.Options{Lease: lease})
		if err := s.Append(t.Context(), entry("k", 0)); err != nil {
			t.Fatal(err)
		}
		if _, err := killed.Hold(t.Context()); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		hold(t, s)
		if took := time.Since(began); took < lease {
			t.Errorf("taken after %v", took)
		}
		if ids := read(t, s); fmt.Sprint(ids) != "[k-0]" {
			t.Errorf("read %v", ids)
		}
	})
}

// A holder that renews its lease keeps it, even if the lease is longer than those of others.
func TestALongerLeaseIsNotTaken(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, open func(testing.TB) *sql.DB) {
		db := open(t)
		s, other := store(t, db, outboxsql.Options{Lease: 600 * time.Millisecond}), store(t, db, outboxsql.Options{Lease: 100 * time.Millisecond})
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		var until time.Time
		for began := time.Now(); time.Since(began) < 2*time.Second; <-tick.C {
			before := time.Now()
			next, err := s.Hold(t.Context())
			if errors.Is(err, outbox.ErrNotHolder) && time.Now().After(until) {
				hold(t, s) // on a busy machine the lease expired before it was renewed
				continue
			}
			if err != nil {
				t.Fatal(err)
			}
			until = next
			if _, err := other.Hold(t.Context()); !errors.Is(err, outbox.ErrNotHolder) && time.Now().Before(until) && time.Since(before) < 100*time.Millisecond {
				t.Fatalf("another one holds it: %v", err)
			}
		}
	})
}

// hold asks for the lease until it is there.
func hold(t *testing.T, s *outboxsql.Store) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		_, err := s.Hold(ctx)
		if err == nil {
			return
		}
		if !errors.Is(err, outbox.ErrNotHolder) {
			t.Fatal(err)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatal("the lease of a process that is gone is never taken")
		}
	}
}
