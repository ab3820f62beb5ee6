package sqltx_test

import (
	"context"
	"testing"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event/sqltx"
)

// A process that starts finds its tables there, and keeps nobody waiting, also
// beside a transaction that has written and is still open.
func TestMigrateLocksNobodyOut(t *testing.T) {
	t.Parallel()
	db := database{testdb.Open(t)}
	schema := []string{
		"CREATE TABLE IF NOT EXISTS t (n INTEGER)",
		"CREATE INDEX IF NOT EXISTS t_Big ON t (n) WHERE n > 100",
		"CREATE UNIQUE INDEX IF NOT EXISTS t_once ON t (n)",
		"DROP INDEX IF EXISTS t_old",
	}
	if err := sqltx.Migrate(t.Context(), db.DB, sqltx.Postgres, schema); err != nil {
		t.Fatal(err)
	}
	tx, err := db.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback()
	if err := db.insert(sqltx.With(t.Context(), tx), 1); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := sqltx.Migrate(ctx, db.DB, sqltx.Postgres, schema); err != nil {
		t.Fatalf("beside an open transaction: %v", err)
	}
	if err := db.insert(ctx, 2); err != nil {
		t.Error(err)
	}
	if err := tx.Rollback(); err != nil {
		t.Error(err)
	}
	if err := db.insert(ctx, 2); err == nil {
		t.Error("the unique index is not there")
	}
	// An index of another table's schema is none of this one.
	if _, err := db.ExecContext(ctx, "CREATE SCHEMA other; CREATE TABLE other.u (n INTEGER); CREATE INDEX u_n ON other.u (n)"); err != nil {
		t.Fatal(err)
	}
	more := []string{"CREATE TABLE IF NOT EXISTS u (n INTEGER)", "CREATE INDEX IF NOT EXISTS u_n ON u (n)"}
	if err := sqltx.Migrate(ctx, db.DB, sqltx.Postgres, more); err != nil {
		t.Fatal(err)
	}
	var n int
	if err := db.QueryRowContext(ctx, "SELECT count(*) FROM pg_indexes WHERE indexname = 'u_n'").Scan(&n); err != nil || n != 2 {
		t.Errorf("%d indexes, %v", n, err)
	}
}
