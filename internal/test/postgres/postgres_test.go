package postgres_test

import (
	"context"
	"errors"
	"os"
	"testing"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/internal/test/postgres"
)

var testdb = postgres.NewServer()

func TestMain(m *testing.M) { os.Exit(testdb.Main(m).Run()) }

func TestSettings(t *testing.T) {
	t.Parallel()
	durable := postgres.NewServer(postgres.Durable()...)
	t.Cleanup(func() {
		if err := durable.Close(); err != nil {
			t.Error(err)
		}
	})
	for name, server := range map[string]*postgres.Server{"off": testdb, "on": durable} {
		var got string
		if err := server.Open(t).QueryRowContext(t.Context(), "SHOW fsync").Scan(&got); err != nil || got != name {
			t.Errorf("fsync is %q, want %q: %v", got, name, err)
		}
	}
}

func TestDatabasesAreApart(t *testing.T) {
	t.Parallel()
	for range 2 {
		db := testdb.Open(t)
		if _, err := db.ExecContext(t.Context(), "CREATE TABLE t (n int)"); err != nil {
			t.Fatal(err)
		}
		if _, err := db.ExecContext(t.Context(), "INSERT INTO t VALUES ($1)", 7); err != nil {
			t.Fatal(err)
		}
		var n int
		if err := db.QueryRowContext(t.Context(), "SELECT n FROM t").Scan(&n); err != nil || n != 7 {
			t.Fatalf("n = %d, %v", n, err)
		}
	}
}

// A stopped server refuses and a frozen one hangs; afterwards both have what was committed.
func TestOutage(t *testing.T) {
	t.Parallel()
	server := postgres.NewServer("synchronous_commit=on")
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	})
	db := server.Open(t)
	insert := func(patience time.Duration) error {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		_, err := db.ExecContext(ctx, "INSERT INTO t VALUES (1)")
		return err
	}
	if _, err := db.ExecContext(t.Context(), "CREATE TABLE t (n int)"); err != nil {
		t.Fatal(err)
	}
	rows := 0
	for name, stop := range map[string]func() (start func()){
		"fast":      func() func() { server.Stop(t, postgres.Fast); return func() { server.Restart(t) } },
		"immediate": func() func() { server.Stop(t, postgres.Immediate); return func() { server.Restart(t) } },
		"frozen":    func() func() { return server.Freeze(t) },
	} {
		if err := insert(time.Minute); err != nil {
			t.Fatal(err)
		}
		rows++
		start := stop()
		if err := insert(time.Second); err == nil || errors.Is(err, context.DeadlineExceeded) != (name == "frozen") {
			t.Errorf("%s: %v", name, err)
		}
		start()
		_ = insert(time.Minute) // the first one may find that its connection is broken
		db.SetMaxIdleConns(-1)
		db.SetMaxIdleConns(2)
		var n int
		if err := db.QueryRowContext(t.Context(), "SELECT count(*) FROM t").Scan(&n); err != nil || n < rows {
			t.Errorf("%s: %d rows, want at least %d: %v", name, n, rows, err)
		}
	}
}
