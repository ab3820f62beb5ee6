package sqlstore

import (
	"context"
	"fmt"
	"io/fs"
	"strings"

	"github.com/kratos-mqtt/kratos-mqtt/event/sqltx"
)

// Migrations is the folder of a dialect, "migrations/<dialect>", for tools such
// as goose.
func Migrations(files fs.FS, d sqltx.Dialect) (fs.FS, error) {
	if d != sqltx.SQLite && d != sqltx.Postgres {
		return nil, fmt.Errorf("no migrations for dialect %q", d)
	}
	return fs.Sub(files, "migrations/"+string(d))
}

// Migrate makes what the migrations of the table's dialect make, whose
// statements do nothing to what is there. defaultName, the name of the table in
// the files, becomes that of t. Two processes may do this at the same time.
func (t *Table) Migrate(ctx context.Context, files fs.FS, defaultName string) error {
	statements, err := t.statements(files, defaultName)
	if err != nil {
		return err
	}
	return sqltx.Run(ctx, t.DB, func(ctx context.Context) error {
		tx := sqltx.From(ctx)
		if t.Dialect == sqltx.Postgres { // IF NOT EXISTS fails when two make the same
			if _, err := tx.ExecContext(ctx, "SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", t.Name); err != nil {
				return err
			}
		}
		for _, statement := range statements {
			if _, err := tx.ExecContext(ctx, statement); err != nil {
				return err
			}
		}
		return nil
	})
}

func (t *Table) statements(files fs.FS, defaultName string) ([]string, error) {
	folder, err := Migrations(files, t.Dialect)
	if err != nil {
		return nil, err
	}
	names, err := fs.Glob(folder, "*.sql")
	if err != nil {
		return nil, err
	}
	var statements []string
	for _, name := range names {
		text, err := fs.ReadFile(folder, name)
		if err != nil {
			return nil, err
		}
		up, _, _ := strings.Cut(string(text), "-- +goose Down")
		for statement := range strings.SplitSeq(strings.ReplaceAll(up, defaultName, t.Name), ";") {
			if strings.TrimSpace(statement) != "" {
				statements = append(statements, statement)
			}
		}
	}
	return statements, nil
}
