package sqltx

import (
	"database/sql"
	"fmt"
	"strings"
)

// Dialect is the SQL that a database speaks.
type Dialect string

// The dialects.
const (
	SQLite   Dialect = "sqlite"
	Postgres Dialect = "postgres"
)

// DialectOf tells the dialect of a pool by the type of its driver. A driver
// that wraps another, as for tracing, hides it: then it is an error, and the
// dialect has to be set.
func DialectOf(db *sql.DB) (Dialect, error) {
	driver := strings.TrimPrefix(fmt.Sprintf("%T", db.Driver()), "*")
	switch pkg, _, _ := strings.Cut(driver, "."); pkg {
	case "sqlite", "sqlite3":
		return SQLite, nil
	case "stdlib", "pgx", "pq":
		return Postgres, nil
	}
	return "", fmt.Errorf("sqltx: no dialect is known for driver %s", driver)
}
