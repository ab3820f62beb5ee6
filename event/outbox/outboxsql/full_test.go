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

// noRoom makes the database refuse to grow, as a full disk does, until the
// returned function is called.
func noRoom(t *testing.T, db *sql.DB) (room func()) {
	t.Helper()
	var pages int64
	if err := db.QueryRowContext(t.Context(), "PRAGMA page_count").Scan(&pages); err != nil {
		t.Fatal(err)
	}
	set := func(n int64) {
		if _, err := db.ExecContext(context.WithoutCancel(t.Context()), fmt.Sprintf("PRAGMA max_page_count = %d", n)); err != nil {
			t.Fatal(err)
		}
	}
	set(pages)
	return func() { set(1 << 30) }
}

// stores.md 16: a database that cannot grow is ErrFull, and what is in it is
// sent all the same.
func TestFullDiskIsErrFull(t *testing.T) {
	t.Parallel()
	db := sqlite(t)
	db.SetMaxOpenConns(1) // the bound is that of a connection
	s := store(t, db, outboxsql.Options{})
	if err := s.Append(t.Context(), entry("k", 0)); err != nil {
		t.Fatal(err)
	}
	room := noRoom(t, db)
	accepted, err := 1, error(nil)
	for ; accepted < 10_000; accepted++ {
		e := entry("k", accepted)
		e.Payload = make([]byte, 2000)
		if err = s.Append(t.Context(), e); err != nil {
			break
		}
	}
	if !errors.Is(err, outbox.ErrFull) {
		t.Fatalf("Append to a database that cannot grow: %v, want ErrFull", err)
	}
	if ids := read(t, s); len(ids) != accepted {
		t.Errorf("%d of %d were read", len(ids), accepted)
	}
	if err := s.Delete(t.Context(), 1); err != nil {
		t.Errorf("Delete: %v", err)
	}
	room()
	if err := s.Append(t.Context(), entry("k", 1)); err != nil {
		t.Errorf("Append with room again: %v", err)
	}
}

// The lease needs a write. While that fails because the disk is full, the last holder
// continues, and no other process takes over.
func TestLeaseOnAFullDisk(t *testing.T) {
	t.Parallel()
	db := sqlite(t)
	const lease = 100 * time.Millisecond
	s, other := store(t, db, outboxsql.Options{Lease: lease}), store(t, db, outboxsql.Options{Lease: time.Minute})
	if err := s.Append(t.Context(), entry("k", 0)); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Hold(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, on := range []string{"INSERT", "UPDATE"} { // as SQLite says it
		trigger := fmt.Sprintf(`CREATE TRIGGER full_%[1]s BEFORE %[1]s ON mqtt_outbox_lease
			BEGIN SELECT RAISE(ABORT, 'database or disk is full'); END`, on)
		if _, err := db.ExecContext(t.Context(), trigger); err != nil {
			t.Fatal(err)
		}
	}
	<-time.After(lease)
	if ids := read(t, s); fmt.Sprint(ids) != "[k-0]" {
		t.Errorf("read %v", ids)
	}
	if _, err := db.ExecContext(t.Context(), "DROP TRIGGER full_INSERT"); err != nil {
		t.Fatal(err)
	}
	if _, err := db.ExecContext(t.Context(), "DROP TRIGGER full_UPDATE"); err != nil {
		t.Fatal(err)
	}
	if _, err := other.Hold(t.Context()); err != nil {
		t.Fatalf("Hold of a lease that ran out: %v", err)
	}
	if _, err := s.Hold(t.Context()); !errors.Is(err, outbox.ErrNotHolder) && err != nil {
		t.Errorf("Hold of a lease that another one has: %v", err)
	}
}
