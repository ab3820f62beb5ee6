package deadlettersql_test

import (
	"crypto/rand"
	"database/sql"
	"encoding/hex"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event/deadletter"
	"github.com/kratos-mqtt/kratos-mqtt/event/deadletter/deadlettertest"
	"github.com/kratos-mqtt/kratos-mqtt/event/internal/sqldialect"
	"github.com/kratos-mqtt/kratos-mqtt/event/sqltx"
)

// fillMany puts n dead letters, and ten parked ones among them.
func fillMany(t *testing.T, db *sql.DB, n int) {
	t.Helper()
	d, err := sqldialect.Of(db)
	if err != nil {
		t.Fatal(err)
	}
	number, blob := "substr('000000000' || n, -9)", "x'01'"
	if d == sqltx.Postgres {
		number, blob = "lpad(n::text, 9, '0')", `'\x01'::bytea`
	}
	statement := `WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < $1)
	INSERT INTO mqtt_dead_letter (id, state, owner, filter, ordering_key, service, event_id, reason, attempts, received, written,
		topic, payload, qos, retain, content_type, response_topic, correlation, expiry, headers,
		park_until, omitted_size, omitted_sha256, omitted_more, origin, bytes,
		operation, error_type, replayed, fingerprint)
	SELECT ` + number + `, CASE WHEN n % ($1 / 10) = 0 THEN 'parked' ELSE 'dead' END, 'owner', 'f', '', '', '', '', 1, 1, 1,
		't', ` + blob + `, 1, FALSE, '', '', ` + blob + `, 0, '[]', 0, 0, '', FALSE, 0, 1024,
		'', '', '', CASE WHEN n % 1000 = 0 THEN 'rare' ELSE 'often' END FROM s`
	if d == sqltx.Postgres {
		statement = strings.ReplaceAll(statement, "$1", "$1::int")
	}
	if _, err := db.ExecContext(t.Context(), statement, n); err != nil {
		t.Fatal(err)
	}
	if _, err := db.ExecContext(t.Context(), "ANALYZE mqtt_dead_letter"); err != nil {
		t.Fatal(err)
	}
}

func planOf(t *testing.T, db *sql.DB, statement string, args ...any) string {
	t.Helper()
	explain := "EXPLAIN QUERY PLAN "
	if d, _ := sqldialect.Of(db); d == sqltx.Postgres {
		explain = "EXPLAIN "
	}
	rows, err := db.QueryContext(t.Context(), explain+statement, args...)
	if err != nil {
		t.Fatal(err)
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

// A start reads back what is parked, and nothing else: a million dead letters
// make it no slower. stores.md, cost per operation.
func TestListsUseAnIndex(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, open func(*testing.T) *sql.DB) {
		db := open(t)
		s := store(t, db, 0)
		fillMany(t, db, 100_000)
		for name, q := range map[string]deadletter.Query{
			"restore":     {State: deadletter.Parked, Owner: "owner"},
			"restore one": {State: deadletter.Parked, Owner: "owner", Filter: "f"},
			"parked":      {State: deadletter.Parked, After: "000000005"},
			"over":        {State: deadletter.Parked, OverAt: time.Now()},
			"dead":        {State: deadletter.Dead, After: "000050000"},
			"all":         {After: "000050000"},
			"cause":       {State: deadletter.Dead, Fingerprint: "rare"},
		} {
			statement, args := s.Listing(q)
			plan := planOf(t, db, statement, args...)
			if strings.Contains(plan, "Seq Scan") || strings.Contains(plan, "SCAN") {
				t.Errorf("%s reads the table:\n%s", name, plan)
			}
			if q.State == deadletter.Parked && !strings.Contains(plan, "mqtt_dead_letter_by_") {
				t.Errorf("%s does not go by state:\n%s", name, plan)
			}
			if strings.Contains(plan, "TEMP B-TREE") {
				t.Errorf("%s sorts:\n%s", name, plan)
			}
		}
		letters, err := s.List(t.Context(), deadletter.Query{State: deadletter.Parked, Owner: "owner", Filter: "f"})
		if err != nil || len(letters) != 10 {
			t.Errorf("%d parked letters, %v", len(letters), err)
		}
		if letters, err = s.List(t.Context(), deadletter.Query{State: deadletter.Dead, Fingerprint: "rare", Limit: 1000}); err != nil || len(letters) != 90 {
			t.Errorf("%d letters of a rare cause, %v", len(letters), err)
		}
		// Each cause is looked up and counted in an index, never by reading the table.
		plan := planOf(t, db, s.Grouping(), "dead", "", 100, 1000)
		if !strings.Contains(plan, "mqtt_dead_letter_by_cause") || strings.Contains(plan, "SCAN mqtt_dead_letter") || strings.Contains(plan, "Seq Scan on mqtt_dead_letter") {
			t.Errorf("the groups read the letters:\n%s", plan)
		}
		groups, err := s.Groups(t.Context(), deadletter.Dead, "", 100)
		if err != nil || len(groups) != 2 || groups[0].Fingerprint != "often" || groups[1].Count != 90 || groups[1].AtLeast || groups[1].FirstID != "000001000" {
			t.Errorf("groups %+v, %v", groups, err)
		}
		if g := groups[0]; g.Count != 50_000 || !g.AtLeast || g.LastID != "000099999" {
			t.Errorf("a large group is counted to half of the bound: %+v", g)
		}
		if first, err := s.Groups(t.Context(), deadletter.Dead, "", 1); err != nil || len(first) != 1 || first[0].Count != 99_900 || first[0].AtLeast {
			t.Errorf("the first group alone: %+v, %v", first, err)
		}
		if rest, err := s.Groups(t.Context(), deadletter.Dead, "often", 100); err != nil || len(rest) != 1 || rest[0].Fingerprint != "rare" {
			t.Errorf("groups behind the first: %+v, %v", rest, err)
		}
		if none, err := s.Groups(t.Context(), deadletter.Dead, "rare", 100); err != nil || len(none) != 0 {
			t.Errorf("groups behind the last: %+v, %v", none, err)
		}
		// What is held is counted in an index, with its bytes; and of one origin no
		// more than there is of it.
		all, origin := s.Sizing()
		if plan := planOf(t, db, all); strings.Contains(plan, "SCAN") && !strings.Contains(plan, "COVERING INDEX") {
			t.Errorf("the count reads the payloads:\n%s", plan)
		}
		if plan := planOf(t, db, origin, 7, 100); !strings.Contains(plan, "mqtt_dead_letter_by_origin") {
			t.Errorf("the count of an origin reads the table:\n%s", plan)
		}
		var wg sync.WaitGroup
		for range 20 { // share counts
			wg.Go(func() {
				if st, err := s.Stats(t.Context()); err != nil || st.Dead != 99_990 || st.Parked != 10 {
					t.Errorf("%+v, %v", st, err)
				}
			})
		}
		wg.Wait()
	})
}

// A permanent refusal by the database is distinguished from a temporary one.
func TestUnfit(t *testing.T) {
	t.Parallel()
	db := testdb.Open(t)
	s := store(t, db, 0)
	random := make([]byte, 10_000)
	_, _ = rand.Read(random)
	l := deadlettertest.Letter(1, deadletter.Parked)
	l.Owner = hex.EncodeToString(random) // more than an index takes
	if err := s.Put(t.Context(), l); !errors.Is(err, deadletter.ErrUnfit) {
		t.Errorf("%v", err)
	}
	for l = l.Smaller(); l != nil; l = l.Smaller() {
		if s.Put(t.Context(), l) == nil {
			break
		}
	}
	if l == nil {
		t.Error("no smaller form is taken")
	}
	if _, err := db.ExecContext(t.Context(), "DROP TABLE mqtt_dead_letter"); err != nil {
		t.Fatal(err)
	}
	if err := s.Put(t.Context(), deadlettertest.Letter(2, deadletter.Dead)); err == nil || errors.Is(err, deadletter.ErrUnfit) {
		t.Errorf("without a table: %v", err)
	}
}
