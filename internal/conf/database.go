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
	// MemorySource is an SQLite database that ends with the process.
	MemorySource = ":memory:"
)

// Name says where the database is, without its credentials: the path of an
// SQLite file, or the address of a PostgreSQL database. It is what logs and
// errors show in the place of the source.
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

// isFile reports whether the source is a path.
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
		// What pgx says may quote the password of a source that it cannot read.
		if _, err := pgx.ParseConfig(d.Source); err != nil {
			errs = append(errs, problem("data.database.source", "want postgres://user:password@host:port/database or host=... dbname=..."))
		}
	case isPostgres(d.Source):
		errs = append(errs, problem("data.database.source", "is of PostgreSQL, want the path of a file, or set data.database.driver to %s (%s)", DriverPostgres, EnvDatabaseDriver))
	}
	return errors.Join(errs...)
}

// isPostgres reports whether a source is none of SQLite: as a path it would be made, and
// shown with its password.
func isPostgres(source string) bool {
	return strings.Contains(source, "://") || strings.Contains(source, "password=")
}
