package dedupsql_test

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event/dedup/dedupsql"
	"github.com/kratos-mqtt/kratos-mqtt/event/internal/sqldialect"
	"github.com/kratos-mqtt/kratos-mqtt/event/sqltx"
)

// fillMany puts n ids that expire in an hour.
func fillMany(t *testing.T, db *sql.DB, n int) {
	t.Helper()
	d, err := sqldialect.Of(db)
	if err != nil {
		t.Fatal(err)
	}
	statement := "WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < $1) " +
		"INSERT INTO mqtt_dedup SELECT 'id-' || n, " + sqldialect.Now(d) + " + 3600000 + n FROM s"
	if _, err := db.ExecContext(t.Context(), statement, n); err != nil {
		t.Fatal(err)
	}
	if _, err := db.ExecContext(t.Context(), "ANALYZE mqtt_dedup"); err != nil {
		t.Fatal(err)
	}
}

// A purge that finds nothing must not read the table. stores.md 10.
func TestPurgeUsesTheIndex(t *testing.T) {
	t.Parallel()
	onBoth(t, dedupsql.Options{TTL: time.Hour}, func(t *testing.T, db *sql.DB, w *dedupsql.Window) {
		fillMany(t, db, 100_000)
		explain := "EXPLAIN QUERY PLAN "
		if d, _ := sqldialect.Of(db); d == sqltx.Postgres {
			explain = "EXPLAIN "
		}
		rows, err := db.QueryContext(t.Context(), explain+w.PurgeStatement(), 1024)
		if err != nil {
			t.Fatal(err)
		}
		defer rows.Close()
		plan := planOf(t, rows)
		for _, bad := range []string{"Seq Scan", "SCAN mqtt_dedup"} {
			if strings.Contains(plan, bad) {
				t.Errorf("the purge reads the table:\n%s", plan)
			}
		}
		if !strings.Contains(plan, "mqtt_dedup_expires") {
			t.Errorf("the purge does not go by the index:\n%s", plan)
		}
		if n, err := w.Purge(t.Context()); n != 0 || err != nil {
			t.Errorf("purged %d of what is not over, %v", n, err)
		}
		if _, err := db.ExecContext(t.Context(), "UPDATE mqtt_dedup SET expires = expires - 7200000 WHERE id IN ('id-1', 'id-2', 'id-3')"); err != nil {
			t.Fatal(err)
		}
		if n, err := w.Purge(t.Context()); n != 3 || err != nil {
			t.Errorf("purged %d, want 3: %v", n, err)
		}
	})
}

// planOf is what a database says of its plan, one line a row.
func planOf(t *testing.T, rows *sql.Rows) string {
	t.Helper()
	columns, err := rows.Columns()
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for rows.Next() {
		texts := make([]sql.NullString, len(columns))
		to := make([]any, len(columns))
		for i := range texts {
			to[i] = &texts[i]
		}
		if err := rows.Scan(to...); err != nil {
			t.Fatal(err)
		}
		lines = append(lines, texts[len(texts)-1].String)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return strings.Join(lines, "\n")
}

// The purge does not lengthen the transaction of the effect. stores.md 10.
func TestPurgeIsOutsideOfTheTransaction(t *testing.T) {
	t.Parallel()
	onBoth(t, dedupsql.Options{TTL: time.Hour}, func(t *testing.T, db *sql.DB, w *dedupsql.Window) {
		fillMany(t, db, 600)
		if _, err := db.ExecContext(t.Context(), "UPDATE mqtt_dedup SET expires = 1"); err != nil {
			t.Fatal(err)
		}
		left := func(q sqltx.Querier) (n int) {
			t.Helper()
			if err := q.QueryRowContext(t.Context(), "SELECT count(*) FROM mqtt_dedup WHERE expires = 1").Scan(&n); err != nil {
				t.Fatal(err)
			}
			return n
		}
		for i := range 256 {
			if _, err := w.Once(t.Context(), fmt.Sprint("new ", i), func(ctx context.Context) error {
				if n := left(sqltx.From(ctx)); n != 600 {
					t.Errorf("%d expired ids are left within transaction %d", n, i)
				}
				return nil
			}); err != nil {
				t.Fatal(err)
			}
		}
		if n := left(db); n != 0 {
			t.Errorf("%d expired ids are left", n)
		}
	})
}
