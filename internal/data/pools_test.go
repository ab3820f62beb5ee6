package data

import (
	"context"
	"database/sql"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event/message"
	"github.com/kratos-mqtt/kratos-mqtt/event/outbox"
	"github.com/kratos-mqtt/kratos-mqtt/internal/biz"
	"github.com/kratos-mqtt/kratos-mqtt/internal/conf"
)

// lockTable locks a table, as an operator may, until the returned function is called.
func lockTable(t *testing.T, db *sql.DB, table string) (free func()) {
	t.Helper()
	tx, err := db.BeginTx(context.WithoutCancel(t.Context()), nil)
	if err != nil {
		t.Fatal(err)
	}
	free = sync.OnceFunc(func() { _ = tx.Rollback() })
	t.Cleanup(free)
	if _, err := tx.ExecContext(t.Context(), "LOCK TABLE "+table+" IN ACCESS EXCLUSIVE MODE"); err != nil {
		t.Fatal(err)
	}
	return free
}

// stuck waits until want backends, the size of a pool, wait for a lock.
func stuck(t *testing.T, db *sql.DB, want int) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for n := 0; n < want; {
		err := db.QueryRowContext(ctx, `SELECT count(*) FROM pg_stat_activity
			WHERE datname = current_database() AND wait_event_type = 'Lock'`).Scan(&n)
		if err != nil {
			t.Fatalf("%d wait for the lock: %v", n, err)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
}

// A statement that waits for a locked table occupies a connection. The pools are
// separate, so that only work of the same kind is affected.
func TestALockedTableStopsItsOwnWorkOnly(t *testing.T) {
	t.Parallel()
	for table, test := range map[string]struct {
		wait func(ctx context.Context, d *Data, store outbox.Store, n int) error
		pool int
	}{
		"mqtt_outbox": {pool: postgresMessageConnections, wait: func(ctx context.Context, _ *Data, store outbox.Store, n int) error {
			return store.Append(ctx, &outbox.Entry{ID: fmt.Sprint(n), Message: message.Message{Topic: "t", QoS: 1}})
		}},
		"acceptance_status": {pool: postgresListConnections, wait: func(ctx context.Context, d *Data, _ outbox.Store, _ int) error {
			_, _, err := NewReportRepo(d).ListStatuses(ctx, biz.Page{Size: 10})
			return err
		}},
	} {
		t.Run(table, func(t *testing.T) {
			t.Parallel()
			c := newPostgres(t)
			d, operator := open(t, c), open(t, c)
			store := newOutbox(t, outboxConfig(conf.DriverSQL, "", 0), d)
			if _, err := store.Stats(t.Context()); err != nil { // waits until the first count is done
				t.Fatal(err)
			}
			free := lockTable(t, operator.db, table)
			var waiting sync.WaitGroup
			for n := range 2 * postgresConnections {
				waiting.Go(func() {
					if err := test.wait(t.Context(), d, store, n); err != nil {
						t.Error(err)
					}
				})
			}
			stuck(t, operator.db, test.pool)
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			repo := NewReportRepo(d)
			if err := repo.SaveEvents(ctx, []biz.EventReport{eventReport(1)}); err != nil {
				t.Errorf("a report is not saved: %v", err)
			}
			if table == "mqtt_outbox" {
				if events, _, err := repo.ListEvents(ctx, biz.Page{Size: 10}); err != nil || len(events) != 1 {
					t.Errorf("a list has %d reports: %v", len(events), err)
				}
			}
			free()
			waiting.Wait()
		})
	}
}
