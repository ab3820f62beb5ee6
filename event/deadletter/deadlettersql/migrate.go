package deadlettersql

import (
	"context"
	"fmt"
	"strings"

	"github.com/kratos-mqtt/kratos-mqtt/event/internal/sqldialect"
	"github.com/kratos-mqtt/kratos-mqtt/event/sqltx"
)

// migrate runs in a transaction.
func (s *Store) migrate(ctx context.Context) error {
	tx, table := sqltx.From(ctx), s.o.Table
	statements := Schema(s.o.Dialect, table)
	// The table first, then its columns, then the indexes and what is in it.
	if err := sqldialect.Migrate(ctx, s.db, s.o.Dialect, statements[:1]); err != nil {
		return err
	}
	for _, column := range added() {
		if err := s.addColumn(ctx, tx, column); err != nil {
			return err
		}
	}
	statements = append(statements[1:],
		fmt.Sprintf(`DROP INDEX IF EXISTS %s_state`, table), // of an earlier version
		// Letters that an earlier version parked: it did so for a day unless told
		// otherwise.
		fmt.Sprintf(`UPDATE %s SET park_until = received + 86400000000 WHERE state = 'parked' AND park_until = 0`, table),
		// And those of which one did not note what they take: about that, for nobody.
		fmt.Sprintf(`UPDATE %s SET bytes = 1024 + length(payload) WHERE origin = 0 AND bytes = 0`, table))
	return sqldialect.Migrate(ctx, s.db, s.o.Dialect, statements)
}

// addColumn adds a column that is not there. It looks first: PostgreSQL locks
// everybody out before it does, and would wait for whoever writes a letter.
func (s *Store) addColumn(ctx context.Context, tx sqltx.Querier, column string) error {
	columns := `SELECT count(*) FROM pragma_table_info($1) WHERE name = $2`
	if s.o.Dialect == sqltx.Postgres {
		columns = `SELECT count(*) FROM pg_attribute WHERE attrelid = to_regclass($1) AND attname = $2 AND NOT attisdropped`
	}
	var there int
	name := strings.Fields(column)[0]
	err := tx.QueryRowContext(ctx, columns, s.o.Table, name).Scan(&there)
	if err != nil || there > 0 {
		return err
	}
	_, err = tx.ExecContext(ctx, fmt.Sprintf(`ALTER TABLE %s ADD COLUMN %s`, s.o.Table, column))
	return err
}
