// Package sqlstore has what the stores of package event that keep their data in
// a table have in common.
package sqlstore

import (
	"database/sql"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/kratos-mqtt/kratos-mqtt/event/sqltx"
)

// Table is where a store keeps its data.
type Table struct {
	DB      *sql.DB
	Name    string
	Dialect sqltx.Dialect
}

// plain is a name that needs no quotes in either dialect, and leaves room for
// the names that are made from it.
var plain = regexp.MustCompile(`^[a-z_][a-z0-9_]{0,39}$`)

// Check completes the dialect and reports all problems.
func (t *Table) Check() error {
	var errs []error
	if t.DB == nil {
		return errors.New("no database")
	}
	if !plain.MatchString(t.Name) {
		errs = append(errs, fmt.Errorf("table %q: want at most 40 of a-z, 0-9 and _, no digit first", t.Name))
	}
	switch t.Dialect {
	case sqltx.SQLite, sqltx.Postgres:
	case "":
		var err error
		t.Dialect, err = sqltx.DialectOf(t.DB)
		errs = append(errs, err)
	default:
		errs = append(errs, fmt.Errorf("unknown dialect %q", t.Dialect))
	}
	return errors.Join(errs...)
}

// SQL completes a statement: {table} is the name, {now} the time of the
// database in microseconds since 1970. The clocks of its clients may differ.
func (t *Table) SQL(statement string) string {
	now := "CAST(unixepoch('subsec') * 1000000 AS INTEGER)"
	if t.Dialect == sqltx.Postgres {
		now = "(extract(epoch FROM clock_timestamp()) * 1000000)::bigint"
	}
	return strings.NewReplacer("{table}", t.Name, "{now}", now).Replace(statement)
}

// Parameters are n parameters from $first on, in parentheses.
func Parameters(first, n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, ", $%d", first+i)
	}
	return "(" + strings.TrimPrefix(b.String(), ", ") + ")"
}
