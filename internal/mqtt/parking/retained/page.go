package retained

import (
	"cmp"
	"context"
	"errors"
	"slices"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/envelope"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/session"
)

// Page reads what the filters of a query match, and keeps no more of it than about two pages.
func (r *Reader) Page(ctx context.Context, q event.RetainedQuery) (event.RetainedPage, error) {
	p := &page{query: q}
	limited, cancel := context.WithTimeout(ctx, q.Within)
	defer cancel()
	err := r.read(limited, p, q.Filters...)
	endless := errors.Is(err, context.DeadlineExceeded) || event.ReasonOf(err) == event.ReasonNotAuthorized // to send the end
	if err != nil && (!endless || p.count == 0 || ctx.Err() != nil) {
		return event.RetainedPage{}, err
	}
	p.trim()
	reply := event.RetainedPage{Messages: p.kept, Incomplete: err != nil || p.count > safeCount && p.came > safeBytes}
	if p.cut {
		reply.Next = p.last
	}
	return reply, nil
}

// page takes the messages of a page: the first ones in the order of their topics.
type page struct {
	query event.RetainedQuery
	count int // retained messages that came
	came  int // bytes of them
	kept  []event.RetainedMessage
	bytes int64  // of kept
	cut   bool   // there are more, behind last
	last  string // topic
}

var _ taker = (*page)(nil)

func (p *page) next() {}

// keep implements taker. A message that was published meanwhile need not be retained.
func (p *page) keep(m *session.Inbound) error {
	if !m.Retain {
		return nil
	}
	p.count++
	p.came += len(m.Topic) + len(m.Payload)
	if m.Topic <= p.query.After || p.cut && m.Topic > p.last {
		return nil
	}
	p.kept = append(p.kept, event.RetainedMessage{Message: envelope.Kept(m), Omitted: m.Oversize()})
	p.bytes += sizeOfMessage(&p.kept[len(p.kept)-1])
	if len(p.kept) > 2*p.query.Limit || p.bytes > 2*p.query.Bytes+int64(maxLetter) {
		p.trim()
	}
	return nil
}

func (p *page) clear(topic string) {
	p.kept = slices.DeleteFunc(p.kept, func(m event.RetainedMessage) bool { return m.Topic == topic })
}

// trim keeps what is on the page. Filters that overlap send a message twice.
func (p *page) trim() {
	slices.SortStableFunc(p.kept, func(a, b event.RetainedMessage) int { return cmp.Compare(a.Topic, b.Topic) })
	p.kept = slices.CompactFunc(p.kept, func(a, b event.RetainedMessage) bool { return a.Topic == b.Topic })
	p.bytes = 0
	for i := range p.kept {
		size := sizeOfMessage(&p.kept[i])
		if i == p.query.Limit || i > 0 && p.bytes+size > p.query.Bytes {
			p.cut, p.last = true, p.kept[i-1].Topic
			clear(p.kept[i:])
			p.kept = p.kept[:i]
			return
		}
		p.bytes += size
	}
}

// sizeOfMessage is about the memory that a message takes, in bytes.
func sizeOfMessage(m *event.RetainedMessage) int64 {
	n := len(m.Topic) + len(m.Payload) + len(m.ContentType) + len(m.ResponseTopic) + len(m.CorrelationData)
	for _, h := range m.Headers {
		n += len(h.Key) + len(h.Value)
	}
	return int64(n)
}
