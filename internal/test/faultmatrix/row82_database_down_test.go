package faultmatrix_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"path/filepath"
	"sync/atomic"
	"testing"

	"modernc.org/sqlite"
)

// Row 82: the database is down while messages arrive. Attempts stop, no dead letters are made,
// and everything is stored once it is back.
func TestFault_82_DatabaseDown(t *testing.T) {
	t.Parallel()
	eachVersion(t, func(h *harness) { h.outage(h.database(), 0) })
}

// database is a need: a SQL database that accepts no connections while it is down.
type database struct {
	h      *harness
	db     *sql.DB
	path   string
	driver driver.Driver
	away   atomic.Bool
}

func (h *harness) database() *database {
	h.Helper()
	d := &database{h: h, path: filepath.Join(h.TempDir(), "data.db") + "?_pragma=busy_timeout(5000)&_pragma=journal_mode(wal)&_pragma=synchronous(off)", driver: new(sqlite.Driver)}
	d.db = sql.OpenDB(d)
	d.db.SetMaxIdleConns(-1) // each use connects
	h.Cleanup(func() { _ = d.db.Close() })
	if _, err := d.db.ExecContext(h.Context(), "CREATE TABLE messages (id TEXT PRIMARY KEY)"); err != nil {
		h.Fatal(err)
	}
	return d
}

// Connect implements driver.Connector.
func (d *database) Connect(context.Context) (driver.Conn, error) {
	if d.away.Load() {
		return nil, errDown
	}
	return d.driver.Open(d.path)
}

// Driver implements driver.Connector.
func (d *database) Driver() driver.Driver { return d.driver }

func (d *database) use(ctx context.Context, id string) error {
	_, err := d.db.ExecContext(ctx, "INSERT INTO messages (id) VALUES ($1) ON CONFLICT DO NOTHING", id)
	return err
}

func (d *database) down() { d.away.Store(true) }
func (d *database) up()   { d.away.Store(false) }

func (d *database) ids() (list []string) {
	d.h.Helper()
	rows, err := d.db.QueryContext(d.h.Context(), "SELECT id FROM messages")
	if err != nil {
		d.h.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var id string
		if err := rows.Scan(&id); err != nil {
			d.h.Fatal(err)
		}
		list = append(list, id)
	}
	if err := rows.Err(); err != nil {
		d.h.Fatal(err)
	}
	return list
}
