package operator

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/event/deadletter"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/decode"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/topic"
)

// Retained reads and deletes what the broker retains. *broker/mqtt.Broker and
// *transport/mqtt.Server implement it.
type Retained interface {
	// Retained returns a page of the messages that the broker retains, in the order of their
	// topics.
	Retained(ctx context.Context, q event.RetainedQuery) (event.RetainedPage, error)
	// ClearRetained deletes the message that the broker retains on a topic.
	ClearRetained(ctx context.Context, topic string) error
}

// ErrNotRetained is the error of clearing a topic on which the broker retains no message.
var ErrNotRetained = errors.New("operator: the broker retains no message on this topic")

// ErrStillRetained is the error of a topic whose message the broker still has after it
// acknowledged the deletion: it may not permit it, or somebody published another one.
var ErrStillRetained = errors.New("operator: the broker acknowledged the deletion and still retains a message: it may not permit this client to publish there, or somebody published another one")

// ErrUnread is the error of a topic that could not be read again after the broker acknowledged the
// deletion of its message.
var ErrUnread = errors.New("operator: the broker acknowledged the deletion, and the topic could not be read again")

// RetainedShown is a retained message with its payload decoded.
type RetainedShown struct {
	event.RetainedMessage
	// Operation is that of the declared topic that matches; "" means none or several.
	Operation string
	// Decoder, Text and Note are those of [Shown].
	Decoder, Text, Note string
}

// RetainedShownPage is a page of retained messages.
type RetainedShownPage struct {
	Messages []RetainedShown
	// Next and Incomplete are those of [event.RetainedPage].
	Next       string
	Incomplete bool
}

// RetainedClear selects retained messages to delete.
type RetainedClear struct {
	// Topics are topic names, 1 to 1,000.
	Topics []string
	// DryRun only counts those that the broker retains.
	DryRun bool
	// By is the name of the person who asks for it.
	By string
}

// retention acts on retained messages.
type retention struct {
	broker  Retained // nil without one
	catalog catalog
	decoder decode.Decoder
	audit   func(Action)
}

// Retained returns a page of the messages that the broker retains, each decoded. The error wraps
// [ErrUnavailable], or is that of the broker: [event.ReasonBadRequest] for a query that is not
// valid.
func (r *retention) Retained(ctx context.Context, q event.RetainedQuery) (RetainedShownPage, error) {
	if r.broker == nil {
		return RetainedShownPage{}, lacks("retained messages")
	}
	page, err := r.broker.Retained(ctx, q)
	shown := RetainedShownPage{Next: page.Next, Incomplete: page.Incomplete}
	for i := range page.Messages {
		shown.Messages = append(shown.Messages, r.show(&page.Messages[i]))
	}
	return shown, err
}

func (r *retention) show(m *event.RetainedMessage) RetainedShown {
	s := RetainedShown{RetainedMessage: *m, Operation: r.catalog.operationOf(m.Topic)}
	if m.Omitted > 0 {
		s.Decoder, s.Note = decode.Raw, fmt.Sprintf("the message has %d bytes, which are too many to read", m.Omitted)
		return s
	}
	text := r.decoder.Decode(decode.Payload{Bytes: m.Payload, ContentType: m.ContentType, Operation: s.Operation})
	s.Decoder, s.Text, s.Note = text.Decoder, text.Text, text.Note
	return s
}

// ClearRetained deletes the messages that the broker retains on topics, one after the other, and
// reads the topics again afterwards. A topic that has none is a problem with [ErrNotRetained], and
// one that still has one afterwards with [ErrStillRetained], or with [ErrUnread] if it could not be
// read again. Subscribers of a topic receive an
// empty message. The error ends the operation: it is that of reading, [ErrBadRequest] or
// [ErrUnavailable].
func (r *retention) ClearRetained(ctx context.Context, c RetainedClear) (out Outcome, err error) {
	if r.broker == nil {
		return out, lacks("retained messages")
	}
	if err := c.validate(); err != nil {
		return out, err
	}
	begin := time.Now()
	topics := slices.Compact(slices.Sorted(slices.Values(c.Topics)))
	out, err = r.clear(ctx, topics, c.DryRun)
	if r.audit != nil {
		r.audit(Action{
			Name: "clear-retained", By: deadletter.Editor(c.By), Time: begin, IDs: len(topics), Topics: topics, DryRun: c.DryRun, Outcome: out, Err: err,
		})
	}
	return out, err
}

func (c *RetainedClear) validate() error {
	var errs []error
	if n := len(c.Topics); n == 0 || n > event.MaxRetained {
		errs = append(errs, fmt.Errorf("%w: %d topics, want 1 to %d", ErrBadRequest, n, event.MaxRetained))
	}
	for _, name := range c.Topics {
		if err := topic.ValidateName(name); err != nil {
			errs = append(errs, fmt.Errorf("%w: %w", ErrBadRequest, err))
		}
	}
	return errors.Join(errs...)
}

func (r *retention) clear(ctx context.Context, topics []string, dryRun bool) (out Outcome, err error) {
	kept, err := r.kept(ctx, topics)
	if err != nil {
		return out, err
	}
	var cleared []string
	for _, name := range topics {
		out.Selected++
		if !kept[name] {
			out.problem(Problem{Topic: name, Err: ErrNotRetained})
			continue
		}
		if dryRun {
			continue
		}
		if err := r.broker.ClearRetained(ctx, name); err != nil {
			if ctx.Err() != nil {
				out.unread(cleared)
				return out, err
			}
			out.problem(Problem{Topic: name, Err: err})
			continue
		}
		cleared = append(cleared, name)
	}
	if len(cleared) == 0 {
		return out, nil
	}
	if kept, err = r.kept(ctx, cleared); err != nil {
		out.unread(cleared)
		return out, fmt.Errorf("reading again what was deleted: %w", err)
	}
	for _, name := range cleared {
		if kept[name] {
			out.problem(Problem{Topic: name, Err: ErrStillRetained})
			continue
		}
		out.Done++
	}
	return out, nil
}

// unread reports topics whose messages were deleted, as far as is known.
func (out *Outcome) unread(cleared []string) {
	for _, name := range cleared {
		out.problem(Problem{Topic: name, Err: ErrUnread})
	}
}

// kept returns on which of the topics the broker retains a message.
func (r *retention) kept(ctx context.Context, topics []string) (map[string]bool, error) {
	found := make(map[string]bool)
	q := event.RetainedQuery{Filters: topics, Limit: event.MaxRetained, Bytes: event.MaxRetainedBytes}
	for {
		page, err := r.broker.Retained(ctx, q)
		if err != nil {
			return nil, err
		}
		if page.Incomplete {
			return nil, errors.New("operator: the broker did not send all retained messages of these topics in time, want fewer topics")
		}
		for i := range page.Messages {
			found[page.Messages[i].Topic] = true
		}
		if page.Next == "" {
			return found, nil
		}
		q.After = page.Next
	}
}
