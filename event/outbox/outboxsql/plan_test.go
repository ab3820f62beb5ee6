package outboxsql_test

import (
	"database/sql"
	"strings"
	"testing"

	"github.com/kratos-mqtt/kratos-mqtt/event/internal/sqldialect"
	"github.com/kratos-mqtt/kratos-mqtt/event/outbox/outboxsql"
	"github.com/kratos-mqtt/kratos-mqtt/event/sqltx"
)

// A table that was never analysed, with a backlog that came at once: what reads a
// part of it goes by an ordered index from the first time on.
func TestReadsOfANewTableUseTheIndex(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, open func(testing.TB) *sql.DB) {
		db := open(t)
		s := store(t, db, outboxsql.Options{})
		explain := "EXPLAIN QUERY PLAN "
		if d, _ := sqldialect.Of(db); d == sqltx.Postgres {
			explain = "EXPLAIN "
			if _, err := db.ExecContext(t.Context(), "ALTER TABLE mqtt_outbox SET (autovacuum_enabled = false)"); err != nil {
				t.Fatal(err)
			}
		}
		generate(t, db, "t", 100_000)
		if _, err := db.ExecContext(t.Context(), `INSERT INTO mqtt_outbox_delayed (id, ordering_key, topic, payload, qos, retain, content_type, response_topic,
	correlation, expiry, headers, accepted, size, due) SELECT id, ordering_key, topic, payload, qos, retain, content_type, response_topic,
	correlation, expiry, headers, accepted, size, accepted FROM mqtt_outbox`); err != nil {
			t.Fatal(err)
		}
		for statement, args := range s.Statements() {
			plan := planOf(t, db, explain+statement, args...)
			// The first rows of an index, up to a limit.
			plan = strings.ReplaceAll(plan, "SCAN mqtt_outbox_delayed USING COVERING INDEX mqtt_outbox_delayed_due", "")
			for _, bad := range []string{"Seq Scan on mqtt_outbox", "Sort", "SCAN mqtt_outbox", "TEMP B-TREE"} {
				if strings.Contains(plan, bad) {
					t.Errorf("%s\nreads more than it returns:\n%s", statement, plan)
				}
			}
		}
		if entries, err := s.Read(t.Context(), 1, 256); err != nil || len(entries) != 256 || entries[0].Seq != 2 {
			t.Fatalf("%d entries, %v", len(entries), err)
		}
	})
}

// planOf is what a database says of its plan, one line a row.
func planOf(t *testing.T, db *sql.DB, statement string, args ...any) string {
	t.Helper()
	rows, err := db.QueryContext(t.Context(), statement, args...)
	if err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
	defer rows.Close()
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
