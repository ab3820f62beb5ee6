package conf

import (
	"errors"
	"net"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
)

const (
	// DriverSQLite is the name of the SQLite driver, the default.
	DriverSQLite = "sqlite"
	// DriverPostgres is the name of the PostgreSQL driver.
	DriverPostgres = "postgres"
	// MemorySource is an SQLite database in memory, which is lost when the process ends.
	MemorySource = ":memory:"
)

// Name identifies the database without its credentials: the path of an SQLite file,
// or the address of a PostgreSQL server. Logs and errors show it instead of the
// source.
func (d *Data_Database) Name() string {
	if d.GetDriver() != DriverPostgres {
		return d.GetSource()
	}
	c, err := pgx.ParseConfig(d.GetSource())
	if err != nil {
		return DriverPostgres
	}
	return "postgres://" + net.JoinHostPort(c.Host, strconv.Itoa(int(c.Port))) + "/" + c.Database
}

// isFile reports whether the source is the path of a file.
func (d *Data_Database) isFile() bool {
	return d != nil && d.Driver != DriverPostgres && d.Source != "" && d.Source != MemorySource
}

func (d *Data_Database) check() error {
	if d == nil {
		return nil
	}
	var errs []error
	switch d.Driver {
	case "", DriverSQLite, DriverPostgres:
	default:
		errs = append(errs, problem("data.database.driver", "want %s or %s", DriverSQLite, DriverPostgres))
	}
	switch {
	case d.Source == "":
		errs = append(errs, problem("data.database.source", "empty, set %s", EnvDatabaseSource))
	case d.Driver == DriverPostgres:
		// The error of pgx may quote the password of an invalid source.
		if _, err := pgx.ParseConfig(d.Source); err != nil {
			errs = append(errs, problem("data.database.source", "want postgres://user:password@host:port/database or host=... dbname=..."))
		}
	case isPostgres(d.Source):
		errs = append(errs, problem("data.database.source", "is a PostgreSQL source, want the path of a file; for PostgreSQL set data.database.driver to %s (%s)", DriverPostgres, EnvDatabaseDriver))
	}
	return errors.Join(errs...)
}

// isPostgres reports whether a source is meant for PostgreSQL. Opened as an SQLite
// path it would be created, and its password shown as part of the path.
func isPostgres(source string) bool {
	return strings.Contains(source, "://") || strings.Contains(source, "password=")
}
