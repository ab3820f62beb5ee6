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

// claims returns the statements that claim one id, claim many ids, and release many ids. A
// list of ids is passed as one JSON array, so that the statement is the same for any number of
// ids.
//
// PostgreSQL waits for the transaction that has claimed an id for as long as it lasts. So the
// statement sets lock_timeout before the INSERT and restores it afterwards. The INSERT reads
// limits.now, and the last SELECT reads the rows that the INSERT returned; this makes
// PostgreSQL evaluate the parts in that order.
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
	// WHERE true is needed for SQLite, which would parse ON as part of FROM.
	each = `INSERT INTO {table} (id, expires) SELECT value, {now} + $2 FROM ` + list + ` WHERE true` + fresh + ` RETURNING id`
	return one, each, remove + list + `)`
}

// claim claims an id and reports whether it was not remembered, or had expired.
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

// claimed claims ids and returns those that were not remembered, or had expired. The ids are
// sent in sorted order, so that two batches cannot deadlock.
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

// running converts a lock timeout (lock_not_available) to [dedup.ErrRunning]; it returns other
// errors unchanged.
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
