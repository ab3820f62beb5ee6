// Package data keeps rows in a database and publishes messages to the broker,
// on behalf of the interfaces that biz owns.
package data

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/go-kratos/kratos/v2/errors"
	"github.com/go-kratos/kratos/v2/log"
	"github.com/google/wire"

	reportv1 "github.com/kratos-mqtt/kratos-mqtt/api/report/v1"
	"github.com/kratos-mqtt/kratos-mqtt/internal/conf"
)

// ProviderSet provides the repositories and publishers.
var ProviderSet = wire.NewSet(
	NewData, NewReportRepo, NewDeviceRepo,
	NewBroker, NewReportPublisher, NewAlertPublisher,
)

// migrationTimeout bounds the migrations at the start.
const migrationTimeout = time.Minute

// Data is the database, or the lack of one. Safe for concurrent use.
type Data struct {
	db *sql.DB // nil without a database
}

// NewData opens the configured database and brings its tables up to date,
// for which it gives up when ctx ends. The returned function closes it. Without a configured database every statement
// is a Kratos 501.
func NewData(ctx context.Context, c *conf.Data, logger log.Logger) (*Data, func(), error) {
	if c.GetDatabase() == nil {
		return &Data{}, func() {}, nil
	}
	db, err := openSQLite(c.Database.Source)
	if err != nil {
		return nil, nil, fmt.Errorf("database %s: %w", c.Database.Source, err)
	}
	cleanup := func() {
		if err := db.Close(); err != nil {
			log.NewHelper(logger).Errorf("close the database: %v", err)
		}
	}
	if err := migrate(ctx, db); err != nil {
		cleanup()
		return nil, nil, fmt.Errorf("database %s (%s): %w", c.Database.Source, conf.EnvDatabaseSource, err)
	}
	return &Data{db: db}, cleanup, nil
}

func migrate(ctx context.Context, db *sql.DB) error {
	ctx, cancel := context.WithTimeout(ctx, migrationTimeout)
	defer cancel()
	migrator, err := sqliteMigrator(db)
	if err != nil {
		return err
	}
	_, err = migrator.Up(ctx)
	return err
}

func (d *Data) exec(ctx context.Context, statement string, args ...any) error {
	if d.db == nil {
		return errNoDatabase()
	}
	if _, err := d.db.ExecContext(ctx, statement, args...); err != nil {
		return databaseError(err)
	}
	return nil
}

func errNoDatabase() error {
	return errors.New(501, reportv1.ErrorReason_NO_DATABASE.String(), "this process runs without a database")
}

// databaseError keeps the details for the log and away from clients.
func databaseError(err error) error {
	return errors.InternalServer(reportv1.ErrorReason_DATABASE_FAILED.String(), "the database failed").WithCause(err)
}
