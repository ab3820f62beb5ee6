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
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/outbox/relay"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
)

// lock has an operator look at an entry, in a transaction that stays open until
// the lock is let go.
func lock(t *testing.T, db *sql.DB, seq int) (release func()) {
	t.Helper()
	tx, err := db.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tx.Rollback() })
	if _, err := tx.ExecContext(t.Context(), "SELECT seq FROM mqtt_outbox WHERE seq = $1 FOR UPDATE", seq); err != nil {
		t.Fatal(err)
	}
	return func() { _ = tx.Rollback() }
}

// A row that somebody has locked delays nobody else; it is not sent twice, and
// is deleted, or quarantined, when it is free.
func TestLockedRowHoldsUpNobody(t *testing.T) {
	t.Parallel()
	errNever := errors.New("never")
	for name, first := range map[string]error{"delete": nil, "quarantine": errNever} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const all = 600
			db := testdb.Open(t)
			s := store(t, db, outboxsql.Options{})
			for i := range 3 {
				if err := s.Append(t.Context(), entry(fmt.Sprint("first", i), i)); err != nil {
					t.Fatal(err)
				}
			}
			release := lock(t, db, 2)
			var sent int
			r, err := relay.New(s, func(_ context.Context, e *outbox.Entry, done func(error)) error {
				if sent++; e.Seq == 2 { // by one goroutine
					done(first)
					return nil
				}
				done(nil)
				return nil
			}, relay.Options{PollInterval: 20 * time.Millisecond, Permanent: func(err error) bool { return errors.Is(err, errNever) }})
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(t.Context())
			ran := make(chan error, 1)
			go func() { ran <- r.Run(ctx) }()
			wantDepth(t, s, 1, 0) // and without it, others go on:
			var entries []*outbox.Entry
			for i := range all {
				entries = append(entries, entry("later", i))
			}
			if err := s.Append(t.Context(), entries...); err != nil {
				t.Fatal(err)
			}
			mqtttest.Eventually(t, 20*time.Second, func() bool { return r.Health(t.Context()).Sent >= all+2 })
			release()
			want := 0
			if first != nil {
				want = 1
			}
			wantDepth(t, s, 0, want)
			cancel()
			if err := <-ran; err != nil {
				t.Error(err)
			}
			if sent != all+3 {
				t.Errorf("sent %d times, want %d", sent, all+3)
			}
		})
	}
}

func wantDepth(t *testing.T, s *outboxsql.Store, depth, quarantined int) {
	t.Helper()
	mqtttest.Eventually(t, 20*time.Second, func() bool {
		st, err := s.Stats(t.Context())
		return err == nil && st.Depth == depth && st.Quarantined == quarantined
	})
}
