package e2e

import (
	"database/sql"
	"encoding/json"
	"fmt"
	"net/url"
	"testing"
	"time"

	_ "modernc.org/sqlite" // the database/sql driver

	"github.com/kratos-mqtt/kratos-mqtt/internal/test/postgres"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
)

// table is the database of a saver, read directly.
type table struct{ db *sql.DB }

// store is a database of a saver: the settings for the saver, and direct access.
type store struct {
	env  []string
	open func(t testing.TB) table
}

func sqliteStore(t testing.TB) store {
	t.Helper()
	variable, path := database(t)
	return store{env: []string{variable}, open: func(t testing.TB) table {
		return openTable(t, "sqlite", "file:"+path+"?_pragma=busy_timeout(5000)")
	}}
}

// postgresStore returns a database for which the saver must send a password.
func postgresStore(t *testing.T, password string) store {
	t.Helper()
	return postgresOf(t, testdb, password)
}

// postgresOf returns a database of a server.
func postgresOf(t *testing.T, server *postgres.Server, password string) store {
	t.Helper()
	source := server.DSN(t)
	u, err := url.Parse(source)
	if err != nil {
		t.Fatal(err)
	}
	u.User = url.UserPassword(u.User.Username(), password)
	return store{
		env:  []string{"KM_DATABASE_DRIVER=postgres", "KM_DATABASE_SOURCE=" + u.String()},
		open: func(t testing.TB) table { return openTable(t, postgres.Driver, source) },
	}
}

func openTable(t testing.TB, driver, source string) table {
	t.Helper()
	db, err := sql.Open(driver, source)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return table{db}
}

// numbers counts the rows of each report.
func (tab table) numbers() (map[int]int, error) {
	rows, err := tab.db.Query("SELECT report_data FROM realtime_warehousing")
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	counts := make(map[int]int)
	for rows.Next() {
		var text string
		if err := rows.Scan(&text); err != nil {
			return nil, err
		}
		var content struct{ N int }
		if err := json.Unmarshal([]byte(text), &content); err != nil {
			return nil, err
		}
		counts[content.N]++
	}
	return counts, rows.Err()
}

// wantRows waits until every accepted report is stored, and checks that no report is stored twice
// and that every row was posted. Reports without a successful answer may be stored.
func (l *load) wantRows(t testing.TB, tab table) {
	t.Helper()
	var last map[int]int
	mqtttest.Eventually(t, time.Minute, func() error {
		counts, err := tab.numbers()
		if err != nil {
			return err
		}
		last = counts
		lost := 0
		for n := range l.accepted {
			if counts[n] == 0 {
				lost++
			}
		}
		if lost > 0 {
			return fmt.Errorf("%d of %d accepted reports are no row", lost, len(l.accepted))
		}
		return nil
	})
	for n, count := range last {
		if count > 1 || n < 1 || n > int(l.next.Load()) {
			t.Errorf("report %d has %d rows", n, count)
		}
	}
	if l.failed == 0 && len(last) != len(l.accepted) {
		t.Errorf("%d rows for %d accepted reports", len(last), len(l.accepted))
	}
	t.Logf("posted %d, accepted %d, not answered with success %d, rows %d, lost 0, doubled 0",
		l.next.Load(), len(l.accepted), l.failed, len(last))
}
