// Package sqltest runs a test on each database that the stores of package event
// are for.
package sqltest

import (
	"database/sql"
	"path/filepath"
	"testing"

	_ "modernc.org/sqlite" // the driver "sqlite"

	"github.com/kratos-mqtt/kratos-mqtt/event/sqltx"
	"github.com/kratos-mqtt/kratos-mqtt/internal/pgtest"
)

// Database is one to test on.
type Database struct {
	// Name is that of a subtest.
	Name string
	// Dialect is what it speaks.
	Dialect sqltx.Dialect
	// New makes a new, empty database and returns its address and driver.
	New func(tb testing.TB) (driver, dsn string)
	// conns is how many connections a pool has.
	conns int
}

// All are SQLite with one connection, as a service should have it, SQLite with
// several, as several processes have it, and PostgreSQL.
func All(postgres *pgtest.Server) []Database {
	sqlite := func(tb testing.TB) (string, string) {
		tb.Helper()
		return "sqlite", "file:" + filepath.ToSlash(filepath.Join(tb.TempDir(), "test.db")) +
			"?_pragma=busy_timeout(20000)&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_txlock=immediate"
	}
	return []Database{
		{"sqlite", sqltx.SQLite, sqlite, 1},
		{"sqlite_pool", sqltx.SQLite, sqlite, 4},
		{"postgres", sqltx.Postgres, func(tb testing.TB) (string, string) {
			tb.Helper()
			return pgtest.Driver, postgres.DSN(tb)
		}, 16},
	}
}

// Open opens a pool on a new, empty database.
func (d Database) Open(tb testing.TB) *sql.DB {
	tb.Helper()
	driver, dsn := d.New(tb)
	return d.Connect(tb, driver, dsn)
}

// Connect opens a pool on a database that New made, as another process would.
func (d Database) Connect(tb testing.TB, driver, dsn string) *sql.DB {
	tb.Helper()
	db, err := sql.Open(driver, dsn)
	if err != nil {
		tb.Fatal(err)
	}
	db.SetMaxOpenConns(d.conns)
	db.SetMaxIdleConns(d.conns)
	tb.Cleanup(func() { _ = db.Close() })
	return db
}

// Each runs a test on every database, in parallel.
func Each(t *testing.T, postgres *pgtest.Server, test func(t *testing.T, d Database)) {
	t.Helper()
	for _, d := range All(postgres) {
		t.Run(d.Name, func(t *testing.T) {
			t.Parallel()
			test(t, d)
		})
	}
}
