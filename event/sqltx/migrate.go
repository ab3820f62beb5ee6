package sqltx

import (
	"context"
	"database/sql"
)

// Migrate runs statements that make tables if they are not there, in the
// transaction of ctx or in one of its own. Processes that do so at the same
// time wait for each other: on PostgreSQL, IF NOT EXISTS alone fails then.
func Migrate(ctx context.Context, db *sql.DB, d Dialect, statements []string) error {
	return Run(ctx, db, func(ctx context.Context) error {
		if d == Postgres {
			if _, err := From(ctx).ExecContext(ctx, "SELECT pg_advisory_xact_lock(hashtext('kratos-mqtt migrate'))"); err != nil {
				return err
			}
		}
		for _, statement := range statements {
			if _, err := From(ctx).ExecContext(ctx, statement); err != nil {
				return err
			}
		}
		return nil
	})
}
