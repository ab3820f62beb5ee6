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
	var items []T
	for n, size, full := 0, 0, false; ; {
		// One more than asked for tells whether there is a next page.
		limit := min(page.Size+1-n, chunk)
		got, err := d.eachRow(ctx, query, append([]any{before, limit}, args...), func(rows *sql.Rows) bool {
			row, item, err := scan(rows)
			size += row.bytes
			if full = n == page.Size || page.Bytes > 0 && size > page.Bytes && n > 0; full {
				return false
			}
			n++
			before = row.seq
			if err != nil {
				d.unreadable.note(row.seq, err)
				return true
			}
			items = append(items, item)
			return true
		})
		switch {
		case err != nil:
			return nil, 0, databaseError(err)
		case full:
			return items, before, nil
		case got < limit:
			return items, 0, nil
		}
	}
}

// eachRow calls do with the rows of a query, until it returns false, and returns how
// many there were.
func (d *Data) eachRow(ctx context.Context, query string, args []any, do func(*sql.Rows) bool) (n int, err error) {
	rows, err := d.reader(ctx).QueryContext(ctx, query, args...)
	if err != nil {
		return 0, err
	}
	defer rows.Close()
	for rows.Next() {
		if n++; !do(rows) {
			break
		}
	}
	return n, rows.Err()
}

// chunk is how many rows are asked for at a time: PostgreSQL sends all of them, also
// those behind the end of a page that ends at bytes.
const chunk = 100

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
