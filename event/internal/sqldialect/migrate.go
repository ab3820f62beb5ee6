package sqldialect

import (
	"context"
	"database/sql"
	"errors"
	"strings"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event/sqltx"
)

// Migrate runs statements that create tables if they do not exist, in the transaction of ctx
// or its own. Concurrent processes wait for each other, because on PostgreSQL IF NOT EXISTS
// alone may fail then.
//
// Existing indexes are skipped without taking a lock: PostgreSQL locks the table for a new
// index before it checks whether the index exists, so a process that starts would wait for
// every open transaction that has written to the table, and all writers would wait for that
// process.
//
// On SQLite a busy file is tried again for 10 s, unless ctx has a transaction: while one connection
// switches a new file to WAL, SQLite refuses others without waiting for their busy timeout.
func Migrate(ctx context.Context, db *sql.DB, d sqltx.Dialect, statements []string) error {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(10 * time.Second); ; {
		err := migrate(ctx, db, d, statements)
		if !busy(err) || sqltx.From(ctx) != nil || time.Now().After(deadline) {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return err
		}
	}
}

// sqliteBusy is SQLite's primary result code for a file that another connection has locked.
const sqliteBusy = 5

func busy(err error) bool {
	e, ok := errors.AsType[interface {
		error
		Code() int
	}](err)
	return ok && e.Code()&0xff == sqliteBusy
}

func migrate(ctx context.Context, db *sql.DB, d sqltx.Dialect, statements []string) error {
	return sqltx.Run(ctx, db, func(ctx context.Context) error {
		if d == sqltx.Postgres {
			if _, err := sqltx.From(ctx).ExecContext(ctx, "SELECT pg_advisory_xact_lock(hashtext('kratos-mqtt migrate'))"); err != nil {
				return err
			}
		}
		for _, statement := range statements {
			if d == sqltx.Postgres {
				there, err := hasIndex(ctx, sqltx.From(ctx), statement)
				if err != nil {
					return err
				}
				if there {
					continue
				}
			}
			if _, err := sqltx.From(ctx).ExecContext(ctx, statement); err != nil {
				return err
			}
		}
		return nil
	})
}

// hasIndex reports whether the statement creates an index that already exists in the schema of
// its table.
func hasIndex(ctx context.Context, q sqltx.Querier, statement string) (there bool, err error) {
	words := strings.Fields(statement)
	if len(words) > 1 && words[0] == "CREATE" && words[1] == "UNIQUE" {
		words = words[1:]
	}
	if len(words) < 8 || strings.Join(words[1:5], " ") != "INDEX IF NOT EXISTS" || words[6] != "ON" {
		return false, nil
	}
	err = q.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM pg_class i JOIN pg_class t ON t.relnamespace = i.relnamespace
	WHERE i.relname = lower($1) AND i.relkind = 'i' AND t.oid = to_regclass($2))`, words[5], words[7]).Scan(&there)
	return there, err
}
