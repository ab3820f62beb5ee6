package outboxsql

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event/internal/due"
	"github.com/kratos-mqtt/kratos-mqtt/event/internal/tablesize"
	"github.com/kratos-mqtt/kratos-mqtt/event/outbox"
	"github.com/kratos-mqtt/kratos-mqtt/event/sqltx"
)

// delays is the part of a [Store] that keeps delayed entries, in a table of their own: what
// reads and counts the waiting ones does not meet them. It implements [outbox.Delayer].
type delays struct {
	store   *sql.DB
	options *Options
	run     delayedStatements
	waiting *tablesize.Gauge // of the waiting entries
	delayed tablesize.Gauge
	changed chan struct{}

	usable func() error
	holds  func(now time.Time) bool
	joined func() // is called when entries have joined the waiting ones
}

func newDelays(s *Store) *delays {
	d := &delays{
		store: s.db, options: &s.o, run: prepareDelayed(s.o.Dialect, s.o.Table), waiting: &s.gauge,
		changed: make(chan struct{}, 1), usable: s.usable, holds: s.holds, joined: s.hint,
	}
	d.delayed.DB, d.delayed.Dialect, d.delayed.Count = s.db, s.o.Dialect, d.count
	d.delayed.Bound = tablesize.Amount{Rows: int64(s.o.MaxDelayed), Bytes: s.o.MaxDelayedBytes}
	return d
}

// delayedSchema returns the statements that create the table.
func delayedSchema(d sqltx.Dialect, table string) []string {
	return []string{
		entryTable(d, table+"_delayed", "due            BIGINT   NOT NULL  -- milliseconds since 1970"),
		fmt.Sprintf("CREATE INDEX IF NOT EXISTS %[1]s_delayed_due ON %[1]s_delayed (due, seq, size)", table),
		fmt.Sprintf("CREATE INDEX IF NOT EXISTS %[1]s_delayed_id ON %[1]s_delayed (id)", table),
	}
}

// moved are the columns that Release copies.
const moved = stored + ", size"

// delayedStatements are the statements of a [delays].
type delayedStatements struct {
	insert, first, next, list, count, cancel string
	move                                     []string // the last one returns the sizes
}

func prepareDelayed(d sqltx.Dialect, table string) delayedStatements {
	name := func(text string) string { return strings.ReplaceAll(text, "{table}", table) }
	s := delayedStatements{
		insert: name(`INSERT INTO {table}_delayed (` + stored + `, accepted, size, due)
	VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14) RETURNING seq`),
		first: name(`SELECT due, size FROM {table}_delayed ORDER BY due, seq LIMIT $1`),
		next:  name(`SELECT due, size FROM {table}_delayed ORDER BY due LIMIT 1`),
		list: name(`SELECT ` + columns + `, due FROM {table}_delayed
	WHERE (due, seq) > ($1, $2) ORDER BY due, seq LIMIT $3`),
		count:  name(`SELECT count(*), COALESCE(sum(size), 0) FROM {table}_delayed`),
		cancel: name(`DELETE FROM {table}_delayed WHERE id IN ({ids}) RETURNING size`),
		move: []string{
			name(`INSERT INTO {table} (` + moved + `, accepted)
	SELECT ` + moved + `, $1 FROM {table}_delayed WHERE due <= $1 ORDER BY due, seq LIMIT $2`),
			name(`DELETE FROM {table}_delayed WHERE seq IN (
	SELECT seq FROM {table}_delayed WHERE due <= $1 ORDER BY due, seq LIMIT $2) RETURNING size`),
		},
	}
	if d == sqltx.Postgres { // what another transaction cancels or moves is skipped
		s.move = []string{name(`WITH taken AS (
	DELETE FROM {table}_delayed WHERE seq = ANY (ARRAY(
		SELECT seq FROM {table}_delayed WHERE due <= $1 ORDER BY due, seq LIMIT $2 FOR UPDATE SKIP LOCKED))
	RETURNING ` + moved + `, due, seq), joined AS (
	INSERT INTO {table} (` + moved + `, accepted) SELECT ` + moved + `, $1 FROM taken ORDER BY due, seq RETURNING size)
	SELECT size FROM joined`)}
	}
	return s
}

// write calls insert if there is room for so many delayed entries.
func (d *delays) write(ctx context.Context, a tablesize.Amount, insert func() error) error {
	if a.Rows == 0 {
		return insert()
	}
	room, err := d.delayed.Write(ctx, a, insert)
	if err == nil && !room {
		return outbox.ErrDelayedFull
	}
	if err == nil && !sqltx.OnEnd(ctx, func(bool) { hint(d.changed) }) {
		hint(d.changed)
	}
	return err
}

// Release implements [outbox.Delayer], for the process that holds the lease.
func (d *delays) Release(ctx context.Context, now time.Time, limit int) (n int, next time.Time, err error) {
	if err := d.usable(); err != nil {
		return 0, next, err
	}
	if !d.holds(time.Now()) {
		return 0, next, outbox.ErrNotHolder
	}
	first, err := d.first(ctx, d.run.first, limit+1)
	if err != nil || len(first) == 0 {
		return 0, next, err
	}
	held, err := d.waiting.Now(ctx)
	if err != nil {
		return 0, next, err
	}
	room := due.Room{Entries: int(held.Rows), MaxEntries: d.options.MaxEntries, Bytes: held.Bytes, MaxBytes: d.options.MaxBytes}
	n, next = room.Movable(first, now, limit)
	if n == 0 {
		return 0, next, nil
	}
	var asked, took tablesize.Amount
	for _, f := range first[:n] {
		asked.Rows, asked.Bytes = asked.Rows+1, asked.Bytes+f.Size
	}
	_, err = d.waiting.Write(ctx, asked, func() error { // without room for them they stay
		return d.delayed.Free(ctx, func() (_ tablesize.Amount, err error) {
			took, err = d.move(ctx, now.UnixMilli(), n)
			return took, err
		})
	})
	if err != nil {
		return 0, next, failed("release", err)
	}
	if took.Rows > 0 {
		d.joined()
	}
	return int(took.Rows), next, nil
}

// move moves up to n due entries in one transaction.
func (d *delays) move(ctx context.Context, now int64, n int) (took tablesize.Amount, err error) {
	err = sqltx.Run(ctx, d.store, func(ctx context.Context) error {
		statements := d.run.move
		for _, s := range statements[:len(statements)-1] {
			if _, err := sqltx.From(ctx).ExecContext(ctx, s, now, n); err != nil {
				return err
			}
		}
		took, err = sizes(ctx, sqltx.From(ctx), statements[len(statements)-1], now, n)
		return err
	})
	if err != nil {
		return tablesize.Amount{}, err
	}
	return took, nil
}

// sizes runs a statement that returns the size of each row.
func sizes(ctx context.Context, q sqltx.Querier, query string, args ...any) (a tablesize.Amount, err error) {
	rows, err := q.QueryContext(ctx, query, args...)
	if err != nil {
		return a, err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var size int64
		if err := rows.Scan(&size); err != nil {
			return a, err
		}
		a.Rows, a.Bytes = a.Rows+1, a.Bytes+size
	}
	return a, rows.Err()
}

// first returns the first delayed entries.
func (d *delays) first(ctx context.Context, query string, args ...any) (list []due.First, err error) {
	rows, err := sqltx.Or(ctx, d.store).QueryContext(ctx, query, args...)
	if err != nil {
		return nil, fmt.Errorf("outboxsql: delayed: %w", err)
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var f due.First
		if err := rows.Scan(&f.Due, &f.Size); err != nil {
			return nil, fmt.Errorf("outboxsql: delayed: %w", err)
		}
		list = append(list, f)
	}
	return list, rows.Err()
}

// Cancel implements [outbox.Delayer], in the transaction of ctx or its own.
func (d *delays) Cancel(ctx context.Context, ids ...string) (n int, err error) {
	if err := d.usable(); err != nil {
		return 0, err
	}
	for len(ids) > 0 {
		some := ids[:min(len(ids), removeMost)]
		took, err := d.cancel(ctx, some)
		if err != nil {
			return n, failed("cancel", err)
		}
		n += int(took.Rows)
		ids = ids[len(some):]
	}
	return n, nil
}

func (d *delays) cancel(ctx context.Context, ids []string) (took tablesize.Amount, err error) {
	args := make([]any, len(ids))
	for i, id := range ids {
		args[i] = clean(id)
	}
	query := strings.Replace(d.run.cancel, "{ids}", numbered(1, len(ids)), 1)
	remove := func() (tablesize.Amount, error) {
		took, err = sizes(ctx, sqltx.Or(ctx, d.store), query, args...)
		return took, err
	}
	if sqltx.From(ctx) == nil {
		err = d.delayed.Free(ctx, remove)
		return took, err
	}
	if _, err := remove(); err != nil {
		return took, err
	}
	ended := func(committed bool) {
		if committed {
			_ = d.delayed.Free(context.WithoutCancel(ctx), func() (tablesize.Amount, error) { return took, nil })
		}
	}
	if !sqltx.OnEnd(ctx, ended) { // counted again within a second
		ended(true)
	}
	return took, nil
}

// Delayed implements [outbox.Delayer].
func (d *delays) Delayed(ctx context.Context, after *outbox.Entry, limit int) (list []*outbox.Entry, err error) {
	if err := d.usable(); err != nil {
		return nil, err
	}
	from, seq := int64(math.MinInt64), int64(0)
	if after != nil {
		from, seq = due.Milli(after.Due), int64(after.Seq)
	}
	rows, err := sqltx.Or(ctx, d.store).QueryContext(ctx, d.run.list, from, seq, limit)
	if err != nil {
		return nil, fmt.Errorf("outboxsql: delayed: %w", err)
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var at int64
		e, bad, err := scanEntry(rows, &at)
		if err != nil {
			return nil, fmt.Errorf("outboxsql: delayed: %w", err)
		}
		if bad == nil {
			e.Due = time.UnixMilli(at)
			list = append(list, e)
		}
	}
	return list, rows.Err()
}

// DelayedChanged implements [outbox.Delayer].
func (d *delays) DelayedChanged() <-chan struct{} { return d.changed }

// count counts the table, for the gauge.
func (d *delays) count(ctx context.Context, q sqltx.Querier) (a tablesize.Amount, err error) {
	if err := q.QueryRowContext(ctx, d.run.count).Scan(&a.Rows, &a.Bytes); err != nil {
		return tablesize.Amount{}, fmt.Errorf("outboxsql: count what is delayed: %w", err)
	}
	return a, nil
}

// stats adds what is delayed.
func (d *delays) stats(ctx context.Context, st *outbox.Stats) error {
	held, err := d.delayed.Now(ctx)
	first, failed := d.first(ctx, d.run.next)
	if err := errors.Join(err, failed); err != nil {
		return err
	}
	st.Delayed, st.DelayedBytes, st.MaxDelayed, st.MaxDelayedBytes = int(held.Rows), held.Bytes, d.options.MaxDelayed, d.options.MaxDelayedBytes
	if len(first) > 0 {
		st.NextDue = time.UnixMilli(first[0].Due)
	}
	return nil
}
