package client

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/logsafe"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/parking/retained"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/session"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/topic"
)

// retention is what the broker retains: of anybody, and the dead letters of this service.
type retention struct {
	reader  *retained.Reader
	publish func(ctx context.Context, m *Message) error // on the connection of the topic
}

func (t *retention) init(c *Client) {
	t.publish = func(ctx context.Context, m *Message) error {
		r := c.publishing()
		if r == nil {
			return c.absent("publish", m.Topic)
		}
		return r.publish(ctx, m)
	}
	t.reader = retained.NewReader(c.cfg.Service, func(sink session.Sink, maxPacket int) (*session.Session, error) {
		r := c.publishing()
		if r == nil {
			return nil, c.absent("connect", "")
		}
		return r.openReader(readerWord, sink, maxPacket)
	})
}

const opRetained = "retained"

// Retained returns a page of the messages that the broker retains. It reads all that the filters
// match, on a connection of its own, and keeps those of the page.
func (t *retention) Retained(ctx context.Context, q event.RetainedQuery) (event.RetainedPage, error) {
	if ctx == nil {
		return event.RetainedPage{}, BadRequest(opRetained, "", "context is nil")
	}
	if err := checkRetained(&q); err != nil {
		return event.RetainedPage{}, &event.Error{Op: opRetained, Reason: event.ReasonBadRequest, Cause: err}
	}
	page, err := t.reader.Page(ctx, q)
	return page, ErrorOf(opRetained, "", err)
}

// checkRetained sets the defaults of a query, and returns all that is wrong with it.
func checkRetained(q *event.RetainedQuery) error {
	var errs []error
	check := func(bad bool, format string, args ...any) {
		if bad {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	check(len(q.Filters) == 0 || len(q.Filters) > event.MaxRetained, "%d filters, want 1 to %d", len(q.Filters), event.MaxRetained)
	check(q.Limit < 0 || q.Limit > event.MaxRetained, "limit is %d, want 0 to %d", q.Limit, event.MaxRetained)
	check(q.Bytes < 0 || q.Bytes > event.MaxRetainedBytes, "bytes is %d, want 0 to %d", q.Bytes, event.MaxRetainedBytes)
	check(q.Within < 0, "within is %v, want 0s or more", q.Within)
	for _, filter := range q.Filters {
		if err := topic.ValidateFilter(filter); err != nil {
			errs = append(errs, err)
			continue
		}
		check(topic.IsShared(filter), "filter %q is shared: brokers send no retained messages for it", logsafe.Clip(filter))
	}
	q.Limit, q.Bytes, q.Within = cmp.Or(q.Limit, event.DefaultRetained), cmp.Or(q.Bytes, event.DefaultRetainedBytes), cmp.Or(q.Within, event.DefaultRetainedWithin)
	return errors.Join(errs...)
}

// ClearRetained deletes the message that the broker retains on a topic, by an empty retained one
// [MQTT-3.3.1-6], and returns nil when the broker has acknowledged that.
func (t *retention) ClearRetained(ctx context.Context, name string) error {
	if ctx == nil {
		return BadRequest(opRetained, name, "context is nil")
	}
	if err := topic.ValidateName(name); err != nil {
		return &event.Error{Op: opRetained, Topic: logsafe.Clip(name), Reason: event.ReasonBadTopic, Cause: err}
	}
	return ErrorOf(opRetained, name, t.publish(ctx, &Message{Topic: name, QoS: 1, Retain: true}))
}
