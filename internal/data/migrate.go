package data

import (
	"context"
	"database/sql"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/pressly/goose/v3"

	"github.com/kratos-mqtt/kratos-mqtt/event/deadletter/deadlettersql"
	"github.com/kratos-mqtt/kratos-mqtt/event/dedup/dedupsql"
	"github.com/kratos-mqtt/kratos-mqtt/event/outbox/outboxsql"
	"github.com/kratos-mqtt/kratos-mqtt/event/sqltx"
)

// migrate brings the tables up to date, until ctx ends. It waits for a database that is away: a
// process that restarts during an outage has to work as soon as that ends.
func (d *Data) migrate(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, migrationTimeout)
	defer cancel()
	migrator, err := d.dialect.migrator(d.db)
	if err != nil {
		return err
	}
	// Where no lock prevents it, two processes may run the same migration: the second
	// one fails and tries again.
	tries := len(migrator.ListSources()) + 3
	for told := false; ; {
		_, err = migrator.Up(ctx)
		pause := rand.N(migrationPause)
		switch {
		case err == nil || ctx.Err() != nil:
			return err
		case d.dialect.away != nil && d.dialect.away(err):
			if pause = awayPause; !told {
				d.log.Warnf("the database does not answer, waiting for it for up to %v: %v", migrationTimeout, err)
			}
			told = true
		case tries <= 0:
			return err
		default:
			tries--
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return err
		}
	}
}

const (
	// migrationPause is the longest pause before a failed migration is retried.
	migrationPause = 50 * time.Millisecond
	// awayPause is the pause between attempts to reach a database that is away.
	awayPause = 500 * time.Millisecond
)

// storeTables is the migration that creates the tables of the outbox, the dedup
// window and the dead letters, which their own packages define. They are created
// whether or not they are configured.
func storeTables(d sqltx.Dialect) *goose.Migration {
	const version = 2 // after 00001 of the SQL files
	statements := slices.Concat(
		outboxsql.Schema(d, outboxsql.DefaultTable),
		dedupsql.Schema(dedupsql.DefaultTable),
		deadlettersql.Schema(d, deadlettersql.DefaultTable),
	)
	up := func(ctx context.Context, tx *sql.Tx) error {
		for _, statement := range statements {
			if _, err := tx.ExecContext(ctx, statement); err != nil {
				return fmt.Errorf("%s: %w", statement, err)
			}
		}
		return nil
	}
	return goose.NewGoMigration(version, &goose.GoFunc{RunTx: up}, nil)
}

// letterColumns is the migration that updates the table of the dead letters.
func letterColumns(d sqltx.Dialect) *goose.Migration {
	const version = 4 // after 00003 of the SQL files
	up := func(ctx context.Context, tx *sql.Tx) error {
		s, err := deadlettersql.New(nil, deadlettersql.Options{Dialect: d})
		if err != nil {
			return err
		}
		return s.Migrate(sqltx.With(ctx, tx))
	}
	return goose.NewGoMigration(version, &goose.GoFunc{RunTx: up}, nil)
}
