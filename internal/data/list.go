package data

import (
	"context"
	"database/sql"
	"fmt"
	"math"
	"time"
	"unicode/utf8"

	"github.com/kratos-mqtt/kratos-mqtt/internal/biz"
)

// list runs a query whose $1 is the cursor (rows with a smaller seq are wanted)
// and whose $2 is the limit, with further arguments from $3 on, newest first.
// It returns the page and the cursor of the next one, 0 when there is none. A
// row that scan cannot make sense of is left out, counted and logged: one of
// them must not hide the others. scan returns the seq and the bytes of such a row,
// too.
func list[T any](ctx context.Context, d *Data, page biz.Page, scan func(*sql.Rows) (row, T, error), query string, args ...any) (_ []T, next int64, err error) {
	if d.db == nil {
		return nil, 0, errNoDatabase()
	}
	before := page.Before
	if before == 0 {
		before = math.MaxInt64
	}
	// One more than asked for tells whether there is a next page.
	rows, err := d.reader(ctx).QueryContext(ctx, query, append([]any{before, page.Size + 1}, args...)...)
	if err != nil {
		return nil, 0, databaseError(err)
	}
	defer rows.Close()
	var items []T
	var last int64
	for n, size := 0, 0; rows.Next(); n++ {
		if n == page.Size {
			return items, last, nil
		}
		row, item, err := scan(rows)
		if size += row.bytes; page.Bytes > 0 && size > page.Bytes && n > 0 {
			return items, last, nil
		}
		if last = row.seq; err != nil {
			d.unreadable.note(row.seq, err)
			continue
		}
		items = append(items, item)
	}
	if err := rows.Err(); err != nil {
		return nil, 0, databaseError(err)
	}
	return items, 0, nil
}

// row is where a row stands, and what its texts take.
type row struct {
	seq   int64
	bytes int
}

// holds counts the bytes of texts. In a row with a wrong column some may be missing.
func (r *row) holds(texts ...string) {
	for _, text := range texts {
		r.bytes += len(text)
	}
}

// formatTime and parseTime are how times stand in TEXT columns. A time that no
// listing can show, which needs a year of 1 to 9999 in UTC, is none.
func formatTime(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }

func parseTime(text string) (time.Time, error) {
	at, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		return time.Time{}, err
	}
	if year := at.UTC().Year(); year < 1 || year > 9999 {
		return time.Time{}, fmt.Errorf("%s is not within the years 1 to 9999 in UTC", text)
	}
	return at, nil
}

// readable reports a text that no listing can show, because it is no UTF-8, which
// SQLite keeps all the same.
func readable(texts ...string) error {
	for _, text := range texts {
		if !utf8.ValidString(text) {
			return fmt.Errorf("%.40q is no UTF-8", text)
		}
	}
	return nil
}
