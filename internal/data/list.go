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

// list runs a query, newest first. Its $1 is the cursor (only rows with a smaller seq
// are returned), its $2 the limit; args are $3 and up. list returns the page and the
// cursor of the next one, 0 if there is none. A row that scan cannot read is left out,
// counted and logged, so that it does not hide the others; scan must return the seq
// and the bytes of such a row, too.
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
		// One row more than requested shows whether there is a next page.
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

// eachRow calls do with each row of a query until do returns false. It returns the
// number of calls.
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

// chunk is how many rows a query requests at a time: PostgreSQL sends all of them,
// even if the page ends earlier because of its bytes.
const chunk = 100

// row is the position of a row in its list and the size of its texts.
type row struct {
	seq   int64
	bytes int
}

// holds adds the sizes of texts. A row with an unreadable column may have fewer of
// them.
func (r *row) holds(texts ...string) {
	for _, text := range texts {
		r.bytes += len(text)
	}
}

// formatTime and parseTime convert times for TEXT columns. parseTime refuses a time
// that no list can show: its year in UTC must be 1 to 9999.
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

// readable returns an error for a text that no list can show because it is not
// UTF-8. SQLite stores such texts.
func readable(texts ...string) error {
	for _, text := range texts {
		if !utf8.ValidString(text) {
			return fmt.Errorf("%.40q is not UTF-8", text)
		}
	}
	return nil
}
