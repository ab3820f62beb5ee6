package deadlettersql

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event/deadletter"
	"github.com/kratos-mqtt/kratos-mqtt/event/internal/headerjson"
)

// scan reads a row of the table. A letter with a column that cannot be read, perhaps because
// it was edited by hand, is returned without it and as incomplete: one bad row must not hide
// the other letters.
func scan(row interface{ Scan(dest ...any) error }) (*deadletter.Letter, error) {
	var (
		l                                   deadletter.Letter
		bad                                 unread
		attempts, received, written, expiry int64
		until, qos                          int64
		state, headers                      string
		replayed, fingerprint               string
	)
	var origin, bytes int64 // derived from the other columns
	err := row.Scan(&l.ID, &state, &l.Owner, &l.Filter, &l.Key, &l.Service, &l.EventID, &l.Reason,
		bad.number(&attempts), bad.number(&received), bad.number(&written),
		&l.Topic, &l.Payload, bad.number(&qos), bad.flag(&l.Retain), &l.ContentType, &l.ResponseTopic, &l.CorrelationData,
		bad.number(&expiry), &headers, bad.number(&until), bad.number(&l.Omitted.Size), &l.Omitted.SHA256, bad.flag(&l.Omitted.More),
		bad.number(&origin), bad.number(&bytes), &l.Operation, &l.ErrorType, &replayed, &fingerprint)
	if err != nil {
		return nil, err
	}
	if l.Headers, err = headerjson.Decode(headers); err != nil {
		bad = append(bad, fmt.Sprintf("headers cannot be read: %v", err))
	}
	if qos < 0 || qos > 2 {
		bad = append(bad, fmt.Sprintf("QoS is %d", qos))
		qos = 0
	}
	if len(bad) > 0 {
		l.Reason, l.Omitted.More = strings.Join(append(bad, l.Reason), "; "), true
	}
	l.Replayed, _ = deadletter.ParseReplayed(replayed) // perhaps edited by hand, too
	l.State, l.Attempts, l.QoS, l.Expiry = deadletter.State(state), int(attempts), byte(qos), time.Duration(expiry)
	l.Received, l.Time, l.Until = moment(received), moment(written), moment(until)
	return &l, nil
}

// unread has the problems of the columns that could not be read. SQLite accepts text in a
// column of numbers.
type unread []string

// number returns a destination for a number, which stays 0 if the column has none.
func (u *unread) number(to *int64) *column[int64] {
	return &column[int64]{to, u, func(text string) (int64, error) { return strconv.ParseInt(text, 10, 64) }}
}

// flag returns a destination for a boolean, which stays false if the column has none.
func (u *unread) flag(to *bool) *column[bool] { return &column[bool]{to, u, strconv.ParseBool} }

// column is the destination of one column. It implements [database/sql.Scanner].
type column[T any] struct {
	to    *T
	bad   *unread
	parse func(text string) (T, error)
}

// Scan takes any value, and notes one that cannot be read.
func (c *column[T]) Scan(value any) error {
	if v, ok := value.(T); ok {
		*c.to = v
		return nil
	}
	text := fmt.Sprint(value)
	if b, ok := value.([]byte); ok {
		text = string(b)
	}
	v, err := c.parse(text)
	if err != nil {
		*c.bad = append(*c.bad, fmt.Sprintf("a column cannot be read: %v", err))
		return nil
	}
	*c.to = v
	return nil
}
