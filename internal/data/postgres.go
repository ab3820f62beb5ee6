package data

import (
	"database/sql"
	"embed"
	"errors"
	"io/fs"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"

	"github.com/kratos-mqtt/kratos-mqtt/event/sqltx"
)

const (
	// postgresConnections bounds the connections with which one process handles
	// messages; PostgreSQL allows 100 altogether unless told otherwise.
	postgresConnections = 20
	// postgresListConnections and postgresMessageConnections are those beside them
	// for lists and for the outbox. Who waits for a table that somebody has locked
	// keeps a connection meanwhile, so that one pool for all would soon be one of
	// waiters.
	postgresListConnections    = 4
	postgresMessageConnections = 8
	// postgresIdle is how many of them stay open while nothing happens.
	postgresIdle = 8
	// postgresLifetime lets a changed server, or password, be noticed in time.
	postgresLifetime = 30 * time.Minute
)

//go:embed migrations/postgres/*.sql
var postgresMigrations embed.FS

// openPostgres reads the source. Nothing is dialled before the first statement.
func openPostgres(source string) (*sql.DB, error) {
	return postgresPool(source, postgresConnections)
}

func openPostgresLists(source string) (*sql.DB, error) {
	return postgresPool(source, postgresListConnections)
}

func openPostgresMessages(source string) (*sql.DB, error) {
	return postgresPool(source, postgresMessageConnections)
}

func postgresPool(source string, connections int) (*sql.DB, error) {
	c, err := pgx.ParseConfig(source)
	if err != nil { // which may quote the source, and with it a password
		return nil, errors.New("the source is no PostgreSQL URL and no list of keywords")
	}
	db := stdlib.OpenDB(*c)
	db.SetMaxOpenConns(connections)
	db.SetMaxIdleConns(min(connections, postgresIdle))
	db.SetConnMaxLifetime(postgresLifetime)
	return db, nil
}

// postgresMigrator lets one of several processes that start at the same time
// migrate and the others wait.
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
