package data

import (
	"database/sql"
	"embed"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"

	"github.com/pressly/goose/v3"
	_ "modernc.org/sqlite" // the database/sql driver, pure Go

	"github.com/kratos-mqtt/kratos-mqtt/event/sqltx"
	"github.com/kratos-mqtt/kratos-mqtt/internal/conf"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/ownfile"
)

//go:embed migrations/sqlite/*.sql
var sqliteMigrations embed.FS

// openSQLite opens the file and creates its folder if it is missing. A new file is
// readable by this user only, because it holds reports; so are the files that SQLite
// puts beside it, which take its mode. A symbolic link is an error, and SQLite does
// not follow links for the files beside it. Nothing is read or written before the
// first statement.
func openSQLite(o opener, source string) (*sql.DB, error) {
	if source != conf.MemorySource {
		if err := ownfile.Folder(filepath.Dir(source)); err != nil {
			return nil, fmt.Errorf("folder of the database: %w", err)
		}
		file, err := ownfile.Open(source, os.O_CREATE|os.O_RDWR)
		if err != nil {
			return nil, err
		}
		if err := file.Close(); err != nil {
			return nil, err
		}
	}
	db, err := o.open("sqlite", sqliteDSN(source), systemSQLite)
	if err != nil {
		return nil, err
	}
	// SQLite has one writer at a time. Queueing for it here is fair and cheap, unlike
	// SQLite's busy handler, which is left for other processes.
	db.SetMaxOpenConns(1)
	return db, nil
}

// sqliteReaders is how many lists may be read at the same time.
const sqliteReaders = 4

// openSQLiteLists opens read-only connections beside the writer: in WAL mode readers
// and the writer do not wait for each other. A database in memory belongs to a single
// connection, so that there are none.
func openSQLiteLists(o opener, source string) (*sql.DB, error) {
	if source == conf.MemorySource {
		return nil, nil
	}
	db, err := o.open("sqlite", sqliteURL(source)+"?mode=ro&_pragma=busy_timeout(5000)&_pragma=query_only(1)", systemSQLite)
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(sqliteReaders)
	return db, nil
}

func sqliteURL(source string) string { return "file:" + (&url.URL{Path: source}).EscapedPath() }

// sqliteDSN makes every commit durable before it returns, because a message that is
// acknowledged to the broker afterwards must survive a power failure. A transaction
// takes the write lock when it begins, so that it waits for other processes then and
// does not fail later.
func sqliteDSN(source string) string {
	return sqliteURL(source) + "?_txlock=immediate&_pragma=busy_timeout(5000)&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)"
}

func sqliteMigrator(db *sql.DB) (*goose.Provider, error) {
	migrations, err := fs.Sub(sqliteMigrations, "migrations/sqlite")
	if err != nil {
		return nil, err
	}
	return goose.NewProvider(goose.DialectSQLite3, db, migrations, goose.WithGoMigrations(storeTables(sqltx.SQLite), letterColumns(sqltx.SQLite)))
}
