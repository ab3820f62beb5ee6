package postgres_test

import (
	"os"
	"testing"

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
