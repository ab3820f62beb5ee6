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
	if err != nil { // it may quote the source and its password
		return nil, errors.New("the source is neither a PostgreSQL URL nor a list of keywords")
	}
	db := stdlib.OpenDB(*c)
	db.SetMaxOpenConns(connections)
	db.SetMaxIdleConns(min(connections, postgresIdle))
	db.SetConnMaxLifetime(postgresLifetime)
	return db, nil
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
