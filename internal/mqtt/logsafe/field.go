package logsafe

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// maxValue is the longest text of a field, in bytes, except that of an error.
const maxValue = 256

// Fields returns fields with values that can be printed on one line: texts are shortened
// and escaped, and quoted if they would otherwise look like several fields; an error is its
// text, durations are rounded. more returns fields that belong behind an error.
func Fields(fields []any, more func(err error) []any) []any { return printable(fields, value, more) }

// Values is [Fields] for loggers that quote texts themselves.
func Values(fields []any, more func(err error) []any) []any {
	return printable(fields, func(s string) string { return Short(s, maxValue) }, more)
}

func printable(fields []any, text func(string) string, more func(err error) []any) []any {
	out := make([]any, 0, len(fields)+2)
	for i := 0; i+1 < len(fields); i += 2 {
		out = append(out, fields[i])
		switch v := fields[i+1].(type) {
		case error:
			out = append(append(out, Message(v.Error())), more(v)...)
		case string:
			out = append(out, text(v))
		case time.Duration:
			out = append(out, rounded(v).String())
		case time.Time:
			out = append(out, v.UTC().Format(time.RFC3339))
		case fmt.Stringer:
			out = append(out, text(v.String()))
		default:
			out = append(out, v)
		}
	}
	return out
}

// value returns a text as one printable word, or else quoted.
func value(s string) string {
	if s = Short(s, maxValue); s == "" || strings.ContainsAny(s, " =\"") {
		return strconv.Quote(s)
	}
	return s
}

// rounded rounds a duration for the log.
func rounded(d time.Duration) time.Duration {
	if d >= time.Second {
		return d.Round(100 * time.Millisecond)
	}
	return d.Round(10 * time.Millisecond)
}
