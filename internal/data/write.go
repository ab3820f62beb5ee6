package data

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/kratos-mqtt/kratos-mqtt/event/sqltx"
)

// rowsOf returns the text for {rows} in a statement that inserts any number of rows:
// $1 is a JSON array with one array for each row, so that one prepared statement is
// enough.
func rowsOf(d sqltx.Dialect) string {
	if d == sqltx.Postgres {
		return "json_array_elements($1::json) AS list (value)"
	}
	return "json_each($1)"
}

// writes returns the statements that handlers run. They are prepared at the start,
// because later most of them run in a transaction, which holds SQLite's only
// connection.
func writes() []string {
	return []string{insertEvents, insertStatuses, insertTelemetry, insertAlert, upsertHeartbeat}
}

func (d *Data) prepare(ctx context.Context) error {
	d.writes = make(map[string]*sqltx.Prepared)
	for _, text := range writes() {
		p := sqltx.NewPrepared(d.db, d.dialect.name, strings.ReplaceAll(text, "{rows}", rowsOf(d.dialect.name)))
		if err := p.Prepare(ctx); err != nil {
			return fmt.Errorf("prepare %s: %w", text, err)
		}
		d.writes[text] = p
	}
	return nil
}

// exec runs one of the writes, in the transaction of ctx if there is one.
func (d *Data) exec(ctx context.Context, statement string, args ...any) error {
	if d.db == nil {
		return errNoDatabase()
	}
	if _, err := d.writes[statement].Exec(ctx, args...); err != nil {
		return databaseError(err)
	}
	return nil
}

// statementBytes bounds the rows of one statement: a batch of large rows takes several
// statements of one transaction, and is not in memory several times over.
const statementBytes = 1 << 20

// insert runs one of the writes for all rows, or for none of them.
func (d *Data) insert(ctx context.Context, statement string, rows [][]any) error {
	text, n, err := encodeRows(rows)
	if err != nil {
		return databaseError(err)
	}
	if n == len(rows) {
		return d.exec(ctx, statement, text)
	}
	return d.InTx(ctx, func(ctx context.Context) error {
		for len(rows) > 0 {
			text, n, err := encodeRows(rows)
			if err != nil {
				return databaseError(err)
			}
			if err := d.exec(ctx, statement, text); err != nil {
				return err
			}
			rows = rows[n:]
		}
		return nil
	})
}

// encodeRows encodes the first rows, as many as fit into one statement, but at least
// one.
func encodeRows(rows [][]any) (text string, n int, err error) {
	var b bytes.Buffer
	b.WriteByte('[')
	for _, row := range rows {
		one, err := json.Marshal(row)
		if err != nil {
			return "", 0, err
		}
		if n > 0 && b.Len()+len(one) > statementBytes {
			break
		}
		if n > 0 {
			b.WriteByte(',')
		}
		b.Write(one)
		n++
	}
	b.WriteByte(']')
	return b.String(), n, nil
}
