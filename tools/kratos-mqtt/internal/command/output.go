package command

import (
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/kratos-mqtt/kratos-mqtt/tools/kratos-mqtt/internal/terminal"
)

// table collects rows and writes them in columns, or as JSON, one value a line.
type table struct {
	s       *session
	heading []string
	rows    [][]string
	values  []any
}

func (s *session) table(heading ...string) *table { return &table{s: s, heading: heading} }

// add adds a row: value is its JSON, cells are its columns.
func (t *table) add(value any, cells ...string) {
	t.values = append(t.values, value)
	t.rows = append(t.rows, cells)
}

// leaveOutEmpty removes the columns in which no row has a text.
func (t *table) leaveOutEmpty() {
	for i := range slices.Backward(t.heading) {
		if slices.ContainsFunc(t.rows, func(row []string) bool { return row[i] != "" }) {
			continue
		}
		t.heading = slices.Delete(t.heading, i, i+1)
		for r := range t.rows {
			t.rows[r] = slices.Delete(t.rows[r], i, i+1)
		}
	}
}

func (t *table) write() error {
	if t.s.json {
		for _, v := range t.values {
			if err := t.s.writeJSON(v); err != nil {
				return err
			}
		}
		return nil
	}
	if len(t.rows) == 0 {
		_, err := fmt.Fprintln(t.s.Err, "none")
		return err
	}
	var columns strings.Builder
	w := tabwriter.NewWriter(&columns, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, strings.ToUpper(strings.Join(t.heading, "\t")))
	for _, row := range t.rows {
		for i, cell := range row {
			row[i] = printable(cell)
		}
		fmt.Fprintln(w, strings.Join(row, "\t"))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	for line := range strings.Lines(columns.String()) {
		if _, err := fmt.Fprintln(t.s.Out, strings.TrimRight(line, " \n")); err != nil {
			return err
		}
	}
	return nil
}

// writeJSON writes a value as one line, in which everything that could change what a terminal
// shows is escaped.
func (s *session) writeJSON(v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(s.Out, string(terminal.JSON(text)))
	return err
}

// printable returns a text that is safe to show, see [terminal.Printable].
func printable(s string) string { return terminal.Printable(s) }

// withoutUser returns a URL without user information.
func withoutUser(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return "(not a URL)"
	}
	u.User = nil
	return u.String()
}

func mark(on bool) string {
	if on {
		return "*"
	}
	return ""
}
