package console

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/event/message"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/logsafe"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/topic"
)

const (
	// maxViewers bounds the pages that look at the stream at the same time.
	maxViewers = 16
	// budget is how many messages a second a page receives; what is beyond is counted.
	budget = 200
	// waiting is how many messages wait for a page that reads slowly.
	waiting = 256
	// maxShown is the number of bytes of a payload that are decoded for the page. A larger one
	// is shown by its first bytes.
	maxShown = 64 << 10
	// maxRaw is the number of bytes of a payload that the page receives undecoded.
	maxRaw = 4 << 10
	// maxHeaders is the number of headers of a message that the page receives, and maxTexts the
	// number of bytes of all of them, of its content type and of its id; maxText is that of one.
	maxHeaders = 50
	maxTexts   = 16 << 10
	maxText    = 4 << 10
)

var errViewers = fmt.Errorf("%d pages look at the stream already: close one", maxViewers)

// live hands messages to the pages that look at them. Without one it costs an atomic load for
// each message. The zero value is ready for use.
type live struct {
	viewers atomic.Pointer[[]*viewer]
	mu      sync.Mutex // of changes of viewers
	seq     atomic.Uint64
}

// seen is a message, copied, or what became of one.
type seen struct {
	seq       uint64
	time      time.Time
	direction string
	event.Delivery
	message   message.Message
	duplicate bool
	id        string
	cut       bool   // the payload is not whole
	err       string // of a publish
	fate      *fate  // nil for a message

	once sync.Once
	text []byte // the JSON
}

// fate is what became of a message whose handler failed.
type fate struct {
	kind, letter string
	after        time.Duration
	err          error
}

// viewer is a page that looks at the live messages.
type viewer struct {
	filter, operation string
	messages          chan *seen
	dropped           atomic.Int64
	mu                sync.Mutex
	second            int64
	left              int
}

// join adds a page that wants the messages whose topic matches filter, all if it is "", of an
// operation, of any if it is "".
func (l *live) join(filter, operation string) (*viewer, error) {
	v := &viewer{filter: filter, operation: operation, messages: make(chan *seen, waiting)}
	l.mu.Lock()
	defer l.mu.Unlock()
	all := append(slices.Clone(l.all()), v)
	if len(all) > maxViewers {
		return nil, errViewers
	}
	l.viewers.Store(&all)
	return v, nil
}

func (l *live) leave(v *viewer) {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := slices.DeleteFunc(slices.Clone(l.all()), func(x *viewer) bool { return x == v })
	l.viewers.Store(&all)
}

func (l *live) all() []*viewer {
	if all := l.viewers.Load(); all != nil {
		return *all
	}
	return nil
}

// watched reports whether a page looks.
func (l *live) watched() bool { return len(l.all()) > 0 }

// show hands a message to the pages that want it. It is copied once, if one of them takes it.
func (l *live) show(s *seen, now time.Time) {
	var made *seen
	for _, v := range l.all() {
		if !v.wants(s) {
			continue
		}
		if !v.take(now) {
			v.dropped.Add(1)
			continue
		}
		if made == nil {
			made = s.copied(l.seq.Add(1), now)
		}
		select {
		case v.messages <- made:
		default:
			v.dropped.Add(1)
		}
	}
}

// fate shows what became of a message.
func (l *live) fate(d event.Delivery, f fate, now time.Time) {
	if l.watched() {
		l.show(&seen{direction: process, Delivery: d, fate: &f}, now)
	}
}

func (v *viewer) wants(s *seen) bool {
	return (v.operation == "" || v.operation == s.Operation) && (v.filter == "" || v.filter == s.Topic || topic.Match(v.filter, s.Topic))
}

// take takes one message from the budget of the second.
func (v *viewer) take(now time.Time) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	if second := now.Unix(); second != v.second {
		v.second, v.left = second, budget
	}
	v.left--
	return v.left >= 0
}

// texts cuts and copies the texts of a message, so that one message takes at most left bytes.
type texts struct{ left int }

func (t *texts) copied(s string) string {
	s = strings.Clone(logsafe.Cut(s, min(t.left, maxText)))
	t.left -= len(s)
	return s
}

// copied returns a copy that shares no memory with the message.
func (s *seen) copied(seq uint64, now time.Time) *seen {
	room := texts{maxTexts}
	c := &seen{
		seq: seq, time: now, direction: s.direction, Delivery: s.Delivery, message: s.message,
		duplicate: s.duplicate, id: room.copied(s.id), err: s.err, fate: s.fate,
	}
	c.Topic = strings.Clone(s.Topic)
	payload := s.message.Payload
	if len(payload) > maxShown {
		payload, c.cut = payload[:maxRaw], true
	}
	c.message.Payload = slices.Clone(payload)
	c.message.ContentType = room.copied(s.message.ContentType)
	c.message.ResponseTopic, c.message.CorrelationData = "", nil // not shown
	headers := s.message.Headers[:min(len(s.message.Headers), maxHeaders)]
	c.message.Headers = make([]message.Header, 0, len(headers))
	for _, h := range headers {
		if room.left > 0 {
			c.message.Headers = append(c.message.Headers, message.Header{Key: room.copied(h.Key), Value: room.copied(h.Value)})
		}
	}
	return c
}
