// Package data stores rows in a database and publishes messages to the broker. It
// implements the interfaces of biz.
package data

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	kerrors "github.com/go-kratos/kratos/v2/errors"
	"github.com/go-kratos/kratos/v2/log"
	"github.com/google/wire"
	"github.com/pressly/goose/v3"

	reportv1 "github.com/kratos-mqtt/kratos-mqtt/api/report/v1"
	"github.com/kratos-mqtt/kratos-mqtt/event/sqltx"
	"github.com/kratos-mqtt/kratos-mqtt/event/stores"
	"github.com/kratos-mqtt/kratos-mqtt/internal/biz"
	"github.com/kratos-mqtt/kratos-mqtt/internal/conf"
)

// ProviderSet provides the repositories and publishers.
var ProviderSet = wire.NewSet(
	NewData, NewTransaction, NewReportRepo, NewDeviceRepo,
	NewStores, wire.FieldsOf(new(*stores.Stores), "Outbox", "Dedup", "DeadLetters"), NewHold, NewBacklog, NewBroker, NewClientConn, NewReportPublisher, NewDevicePublisher,
)

// migrationTimeout bounds the migrations at the start.
const migrationTimeout = time.Minute

// Data is the database, if one is configured. Safe for concurrent use.
type Data struct {
	db         *sql.DB // nil without a database
	lists      *sql.DB // for reading lists, so that they do not wait for writers
	messages   *sql.DB // for the outbox, so that a stuck outbox does not block others
	dialect    dialect
	writes     map[string]*sqltx.Prepared // by statement; read-only after the start
	unreadable unreadable
	log        *log.Helper
}

// dialect is what differs between databases: how to open one, its migrations, and
// the text for {rows}. Otherwise the statements of this package are SQL that all
// databases understand.
type dialect struct {
	name sqltx.Dialect
	open func(o opener, source string) (*sql.DB, error)
	// openLists and openMessages open the pools for lists and for the outbox. If one
	// returns nil, the pool of the writers is used.
	openLists, openMessages func(o opener, source string) (*sql.DB, error)
	migrator                func(*sql.DB) (*goose.Provider, error)
	// away reports whether an error means that the database cannot be reached for now. Nil
	// means that this cannot happen.
	away func(error) bool
}

func dialectOf(driver string) dialect {
	if driver == conf.DriverPostgres {
		return dialect{
			name: sqltx.Postgres, open: openPostgres, migrator: postgresMigrator,
			openLists: openPostgresLists, openMessages: openPostgresMessages, away: postgresAway,
		}
	}
	return dialect{name: sqltx.SQLite, open: openSQLite, openLists: openSQLiteLists, migrator: sqliteMigrator}
}

// NewData opens the configured database and migrates its tables until ctx ends. It waits up to a
// minute for a PostgreSQL that cannot be reached. Its
// statements become spans of observers. The returned function closes it. If no database is
// configured, every statement returns a Kratos 501.
func NewData(ctx context.Context, c *conf.Data, observers Observers, logger log.Logger) (*Data, func(), error) {
	if c.GetDatabase() == nil {
		return &Data{}, func() {}, nil
	}
	d := &Data{dialect: dialectOf(c.Database.Driver), log: log.NewHelper(logger)}
	d.unreadable.log = d.log
	opener := opener{observers.Spans}
	db, err := d.dialect.open(opener, c.Database.Source)
	if err != nil {
		return nil, nil, fmt.Errorf("database %s: %w", c.Database.Name(), err)
	}
	d.db, d.lists, d.messages = db, db, db
	cleanup := func() {
		if err := d.close(); err != nil {
			log.NewHelper(logger).Errorf("close the database: %v", err)
		}
	}
	if err = d.migrate(ctx); err == nil {
		err = d.prepare(ctx)
	}
	if err != nil {
		cleanup()
		return nil, nil, fmt.Errorf("database %s (%s): %w", c.Database.Name(), conf.EnvDatabaseSource, err)
	}
	if err := d.openMore(opener, c.Database.Source); err != nil {
		cleanup()
		return nil, nil, fmt.Errorf("database %s: %w", c.Database.Name(), err)
	}
	return d, cleanup, nil
}

// openMore opens the pools for lists and for the outbox.
func (d *Data) openMore(o opener, source string) error {
	for _, more := range []struct {
		pool **sql.DB
		open func(opener, string) (*sql.DB, error)
	}{
		{&d.lists, d.dialect.openLists},
		{&d.messages, d.dialect.openMessages},
	} {
		if more.open == nil {
			continue
		}
		db, err := more.open(o, source)
		if err != nil {
			return err
		}
		if db != nil {
			*more.pool = db
		}
	}
	return nil
}

func (d *Data) close() (err error) {
	for _, pool := range []*sql.DB{d.lists, d.messages} {
		if pool != d.db {
			err = errors.Join(err, pool.Close())
		}
	}
	return errors.Join(err, d.db.Close())
}

// reader returns what a list is read from: the transaction of ctx if there is one,
// otherwise the pool for lists.
func (d *Data) reader(ctx context.Context) sqltx.Querier {
	return sqltx.Or(ctx, d.lists)
}

// NewTransaction returns the transactions of the database.
func NewTransaction(d *Data) biz.Transaction { return d }

// InTx implements biz.Transaction. Statements, and messages for an outbox in the same
// database, join the transaction through the context.
func (d *Data) InTx(ctx context.Context, f func(context.Context) error) error {
	if d.db == nil {
		return errNoDatabase()
	}
	var failed error
	err := sqltx.Run(ctx, d.db, func(ctx context.Context) error {
		failed = f(ctx)
		return failed
	})
	if err != nil && failed == nil { // begin or commit
		return databaseError(err)
	}
	return err
}

func errNoDatabase() error {
	return kerrors.New(501, reportv1.ErrorReason_NO_DATABASE.String(), "this process runs without a database")
}

// databaseError hides the details from clients; they are logged as the cause.
func databaseError(err error) error {
	return kerrors.InternalServer(reportv1.ErrorReason_DATABASE_FAILED.String(), "the database failed").WithCause(err)
}
