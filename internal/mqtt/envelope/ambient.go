package envelope

import (
	"errors"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/logsafe"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/session"
)

// ambient is a header that comes from the context of a publish: metadata, trace context,
// baggage. The caller did not ask for it, so it must not fail the call: it is sent if it
// fits, and left out otherwise.
type ambient struct {
	session.UserProperty
	single bool // replaces what the caller set, as trace context does
}

// maxNamedHeaders bounds the names that are remembered as logged: untrusted senders may
// choose them.
const maxNamedHeaders = 16

// Losses counts the headers that a client left out of messages it sent, and the metadata
// it did not accept from messages it received. It outlives the settings and is safe for
// concurrent use.
type Losses struct {
	// Warn writes to the log. It is set before the first use.
	Warn func(message string, fields ...any)
	// Headers counts headers of contexts that did not fit; each name is logged once.
	Headers atomic.Int64
	// Metadata counts metadata of untrusted senders.
	Metadata atomic.Int64

	mu     sync.Mutex
	logged map[string]bool
}

// leaveOut notes that a header is left out.
func (l *Losses) leaveOut(u session.UserProperty, why error) {
	l.Headers.Add(1)
	name := logsafe.Clip(u.Key)
	l.mu.Lock()
	known := l.logged[name] || len(l.logged) >= maxNamedHeaders
	if !known {
		if l.logged == nil {
			l.logged = make(map[string]bool)
		}
		l.logged[name] = true
	}
	last := !known && len(l.logged) == maxNamedHeaders
	l.mu.Unlock()
	if known {
		return
	}
	l.Warn("mqtt: a header of the context is left out of a message (counted in ContextHeadersDropped, logged once)", logsafe.KeyNames, name, logsafe.KeyError, why)
	if last {
		l.Warn("mqtt: headers of contexts that are left out have many names: others are counted only", logsafe.KeyCount, maxNamedHeaders)
	}
}

// addAmbient adds the headers of the context as user properties, as far as they fit beside
// the headers that the caller set.
func (s *Settings) addAmbient(m *Message) {
	asked := len(m.Properties.User)
	for _, a := range m.ambient {
		s.addOne(m, a, asked)
	}
	m.ambient = nil
}

func (s *Settings) addOne(m *Message, a ambient, asked int) {
	if err := s.checkAmbient(a.UserProperty); err != nil {
		s.Losses.leaveOut(a.UserProperty, err)
		return
	}
	list, same := m.Properties.User, func(u session.UserProperty) bool { return strings.EqualFold(u.Key, a.Key) }
	if slices.ContainsFunc(list[:min(asked, len(list))], same) {
		if !a.single {
			return // the header of the caller takes precedence
		}
		list = slices.DeleteFunc(slices.Clone(list), same)
	}
	list = append(list, a.UserProperty)
	if err := CheckSent(list); err != nil {
		s.Losses.leaveOut(a.UserProperty, err)
		return
	}
	m.Properties.User = list
	m.added++
}

// Lighten removes the headers of the context from a message that a connection refused as
// too large, according to err, and reports whether there were any.
func (s *Settings) Lighten(m *Message, err error) bool {
	e, ok := errors.AsType[*event.Error](err)
	if !ok || e.Reason != event.ReasonTooLarge || e.MayHaveBeenSent || m.added == 0 {
		return false
	}
	asked := len(m.Properties.User) - m.added
	for _, u := range m.Properties.User[asked:] {
		s.Losses.leaveOut(u, errors.New("with it the packet is over the broker's limit"))
	}
	m.Properties.User, m.added = m.Properties.User[:asked], 0
	return true
}

// checkAmbient refuses headers that a broker may reject, and headers that are reserved.
func (s *Settings) checkAmbient(u session.UserProperty) error {
	if err := CheckHeaderText(u); err != nil {
		return err
	}
	if reserved(u.Key) {
		return errReserved
	}
	if s.CheckHeaders == nil {
		return nil
	}
	return s.CheckHeaders([]session.UserProperty{u})
}

// attributes adds the headers of the context whose names are valid attribute names to
// attrs, which has the attributes that the caller set. The other headers remain for the
// user properties of MQTT 5. It returns the headers that it added.
func (s *Settings) attributes(m *Message, attrs map[string]any) (added []session.UserProperty) {
	rest := m.ambient[:0:0]
	for _, a := range m.ambient {
		if checkAttribute(a.Key) != nil || reserved(a.Key) {
			rest = append(rest, a)
			continue
		}
		before, asked := attrs[a.Key]
		if asked && !a.single {
			continue
		}
		err := s.checkAmbient(a.UserProperty)
		if err == nil {
			attrs[a.Key] = a.Value
			err = CheckSent(asHeaders(attrs))
		}
		if err == nil {
			added = append(added, a.UserProperty)
			continue
		}
		s.Losses.leaveOut(a.UserProperty, err)
		if delete(attrs, a.Key); asked {
			attrs[a.Key] = before
		}
	}
	m.ambient = rest
	return added
}

// reserved reports whether a header belongs to the message itself: its id and order, and
// the attributes of a CloudEvent. No context may change these.
func reserved(name string) bool {
	switch name = strings.ToLower(name); name {
	case idKey, OrderHeader, attrSource, "type", "subject", attrTime, SentAtHeader, "dataschema", attrSpecVersion, attrContentType:
		return true
	}
	return strings.HasPrefix(name, binaryPrefix)
}

var (
	errNoRoom   = errors.New("with it the event is over the limit for payloads")
	errReserved = errors.New("its name belongs to the message itself")
)
