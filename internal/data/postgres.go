package data

import (
	"database/sql"
	"embed"
	"errors"
	"io/fs"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"

	"github.com/kratos-mqtt/kratos-mqtt/event/sqltx"
)

const (
	// postgresConnections bounds the connections of one process for handling messages.
	// PostgreSQL allows 100 in total by default.
	postgresConnections = 20
	// postgresListConnections and postgresMessageConnections are the separate pools for
	// lists and for the outbox. A statement that waits for a locked table occupies a
	// connection, so that a shared pool would soon be full of waiting statements.
	postgresListConnections    = 4
	postgresMessageConnections = 8
	// postgresIdle is how many connections stay open while they are not used.
	postgresIdle = 8
	// postgresLifetime bounds the age of a connection, so that a changed server or
	// password takes effect.
	postgresLifetime = 30 * time.Minute
)

//go:embed migrations/postgres/*.sql
var postgresMigrations embed.FS

// openPostgres parses the source. It does not connect before the first statement.
func openPostgres(o opener, source string) (*sql.DB, error) {
	return postgresPool(o, source, postgresConnections)
}

func openPostgresLists(o opener, source string) (*sql.DB, error) {
	return postgresPool(o, source, postgresListConnections)
}

func openPostgresMessages(o opener, source string) (*sql.DB, error) {
	return postgresPool(o, source, postgresMessageConnections)
}

func postgresPool(o opener, source string, connections int) (*sql.DB, error) {
	c, err := pgx.ParseConfig(source)
	if err != nil { // it may quote the source and its password
		return nil, errors.New("the source is neither a PostgreSQL URL nor a list of keywords")
	}
	db := o.openDB(stdlib.GetConnector(*c), systemPostgres)
	db.SetMaxOpenConns(connections)
	db.SetMaxIdleConns(min(connections, postgresIdle))
	db.SetConnMaxLifetime(postgresLifetime)
	return db, nil
}

// postgresAway reports whether no server answers, or one that starts, ends, or has no connection
// left. A server that refuses a login or a database does answer.
func postgresAway(err error) bool {
	if answer, ok := errors.AsType[*pgconn.PgError](err); ok {
		switch answer.Code {
		case "57P01", "57P02", "57P03", "53300": // its shutdown, a crash, its start, too many connections
			return true
		}
		return false
	}
	_, ok := errors.AsType[*pgconn.ConnectError](err)
	return ok
}

// postgresMigrator lets one of several processes that start at the same time migrate;
// the others wait for it.
func postgresMigrator(db *sql.DB) (*goose.Provider, error) {
	migrations, err := fs.Sub(postgresMigrations, "migrations/postgres")
	if err != nil {
		return nil, err
	}
	locker, err := lock.NewPostgresSessionLocker(lock.WithLockTimeout(1, uint64(migrationTimeout.Seconds())))
	if err != nil {
		return nil, err
	}
	return goose.NewProvider(goose.DialectPostgres, db, migrations,
		goose.WithGoMigrations(storeTables(sqltx.Postgres), letterColumns(sqltx.Postgres)), goose.WithSessionLocker(locker))
}
