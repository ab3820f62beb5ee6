package dedupsql

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/kratos-mqtt/kratos-mqtt/event/dedup"
	"github.com/kratos-mqtt/kratos-mqtt/event/sqltx"
)

// claims returns the statements that claim one id, that claim many, and that release
// many. A list of ids is one JSON array, so that the statement is the same for any
// number of them.
//
// PostgreSQL waits for the transaction that has claimed an id, however long that lasts.
// So the statement sets lock_timeout before the INSERT and restores it afterwards: the
// INSERT reads limits.now, and the last SELECT reads what the INSERT returned, which is
// what keeps PostgreSQL to that order.
func claims(d sqltx.Dialect) (one, each, release string) {
	const (
		fresh  = ` ON CONFLICT (id) DO UPDATE SET expires = excluded.expires WHERE {table}.expires <= {now}`
		remove = `DELETE FROM {table} WHERE id IN (SELECT value FROM `
	)
	if d == sqltx.Postgres {
		const list = `json_array_elements_text($1::json) AS ids (value)`
		each = `WITH limits AS MATERIALIZED (
	SELECT current_setting('lock_timeout') AS before, set_config('lock_timeout', '20ms', true) AS now
), fresh AS (
	INSERT INTO {table} (id, expires) SELECT ids.value, {now} + $2 FROM limits, ` + list + ` WHERE limits.now <> ''` + fresh + ` RETURNING id
), all_of_them AS (
	SELECT coalesce(json_agg(id), '[]')::text AS ids FROM fresh
)
SELECT all_of_them.ids, set_config('lock_timeout', limits.before || substr(all_of_them.ids, 1, 0), true) FROM limits, all_of_them`
		return each, each, remove + list + `)`
	}
	const list = `json_each($1)`
	one = `INSERT INTO {table} (id, expires) VALUES ($1, {now} + $2)` + fresh
	// WHERE true tells SQLite that ON is not part of the FROM.
	each = `INSERT INTO {table} (id, expires) SELECT value, {now} + $2 FROM ` + list + ` WHERE true` + fresh + ` RETURNING id`
	return one, each, remove + list + `)`
}

// claim reports whether the id was not there, or has expired.
func (w *Window) claim(ctx context.Context, id string) (bool, error) {
	if w.o.Dialect == sqltx.Postgres {
		claimed, err := w.claimed(ctx, []string{id})
		return len(claimed) > 0, err
	}
	result, err := w.claimOne.Exec(ctx, id, w.o.TTL.Milliseconds())
	if err != nil {
		return false, err
	}
	n, err := result.RowsAffected()
	return n > 0, err
}

// claimed takes those of the ids that were not there, or have expired. They go to the
// database in one order, so that two batches never wait for each other.
func (w *Window) claimed(ctx context.Context, ids []string) (claimed map[string]struct{}, err error) {
	slices.Sort(ids)
	text, err := json.Marshal(ids)
	if err != nil {
		return nil, err
	}
	rows, err := w.claimEach.Query(ctx, string(text), w.o.TTL.Milliseconds())
	if err != nil {
		return nil, running(err)
	}
	defer rows.Close()
	claimed = make(map[string]struct{}, len(ids))
	for rows.Next() {
		if err := w.scan(rows, claimed); err != nil {
			return nil, err
		}
	}
	return claimed, running(rows.Err())
}

// scan reads one id, or on PostgreSQL all of them.
func (w *Window) scan(rows *sql.Rows, claimed map[string]struct{}) error {
	var text, limit string
	if w.o.Dialect != sqltx.Postgres {
		err := rows.Scan(&text)
		claimed[text] = struct{}{}
		return err
	}
	if err := rows.Scan(&text, &limit); err != nil {
		return err
	}
	var ids []string
	err := json.Unmarshal([]byte(text), &ids)
	for _, id := range ids {
		claimed[id] = struct{}{}
	}
	return err
}

// running makes the error of a wait that was over its limit (lock_not_available) one
// that is [dedup.ErrRunning]; others stay as they are.
func running(err error) error {
	e, ok := errors.AsType[interface {
		error
		SQLState() string
	}](err)
	if ok && e.SQLState() == "55P03" {
		return fmt.Errorf("%w: %w", dedup.ErrRunning, err)
	}
	return err
}
