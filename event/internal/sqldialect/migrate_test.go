package sqldialect_test

import (
	"context"
	"database/sql"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/kratos-mqtt/kratos-mqtt/event/internal/sqldialect"
	"github.com/kratos-mqtt/kratos-mqtt/event/sqltx"
	"github.com/kratos-mqtt/kratos-mqtt/internal/test/postgres"
)

var testdb = postgres.NewServer()

func TestMain(m *testing.M) { goleak.VerifyTestMain(testdb.Main(m)) }

func insert(ctx context.Context, db *sql.DB, n int) error {
	_, err := sqltx.Or(ctx, db).ExecContext(ctx, "INSERT INTO t VALUES ($1)", n)
	return err
}

// A process that starts finds its tables there, and keeps nobody waiting, also
// beside a transaction that has written and is still open.
func TestMigrateLocksNobodyOut(t *testing.T) {
	t.Parallel()
	db := testdb.Open(t)
	schema := []string{
		"CREATE TABLE IF NOT EXISTS t (n INTEGER)",
		"CREATE INDEX IF NOT EXISTS t_Big ON t (n) WHERE n > 100",
		"CREATE UNIQUE INDEX IF NOT EXISTS t_once ON t (n)",
		"DROP INDEX IF EXISTS t_old",
	}
	if err := sqldialect.Migrate(t.Context(), db, sqltx.Postgres, schema); err != nil {
		t.Fatal(err)
	}
	tx, err := db.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback()
	if err := insert(sqltx.With(t.Context(), tx), db, 1); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := sqldialect.Migrate(ctx, db, sqltx.Postgres, schema); err != nil {
		t.Fatalf("beside an open transaction: %v", err)
	}
	if err := insert(ctx, db, 2); err != nil {
		t.Error(err)
	}
	if err := tx.Rollback(); err != nil {
		t.Error(err)
	}
	if err := insert(ctx, db, 2); err == nil {
		t.Error("the unique index is not there")
	}
	// An index in the schema of another table does not count.
	if _, err := db.ExecContext(ctx, "CREATE SCHEMA other; CREATE TABLE other.u (n INTEGER); CREATE INDEX u_n ON other.u (n)"); err != nil {
		t.Fatal(err)
	}
	more := []string{"CREATE TABLE IF NOT EXISTS u (n INTEGER)", "CREATE INDEX IF NOT EXISTS u_n ON u (n)"}
	if err := sqldialect.Migrate(ctx, db, sqltx.Postgres, more); err != nil {
		t.Fatal(err)
	}
	var n int
	if err := db.QueryRowContext(ctx, "SELECT count(*) FROM pg_indexes WHERE indexname = 'u_n'").Scan(&n); err != nil || n != 2 {
		t.Errorf("%d indexes, %v", n, err)
	}
}
