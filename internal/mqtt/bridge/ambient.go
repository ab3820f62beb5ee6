package bridge

import (
	"errors"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/client"
)

// ambient is a header that comes from the context of a publish: metadata,
// trace context, baggage. Nobody asked for it in the call, so that it must
// not fail the call: it is sent where it fits, and left out otherwise.
type ambient struct {
	client.UserProperty
	single bool // replaces what the caller set, as trace context does
}

// maxNamedHeaders bounds the names that are remembered as logged: they may
// come from strangers.
const maxNamedHeaders = 16

// leftOut counts the headers of contexts that were left out, and logs each
// name once.
type leftOut struct {
	count atomic.Int64

	mu     sync.Mutex
	logged map[string]bool
}

// leave leaves a header out.
func (s *state) leave(u client.UserProperty, why error) {
	l := &s.broker.leftOut
	l.count.Add(1)
	name := clip(u.Key)
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
	s.log.Warnf("mqtt: header %q of the context is left out of a message: %v (counted in ContextHeadersDropped, told once)", name, why)
	if last {
		s.log.Warnf("mqtt: headers of contexts that are left out have more than %d names: others are counted only", maxNamedHeaders)
	}
}

// addAmbient adds the headers of the context as user properties, as far as
// they fit beside those that were asked for.
func (s *state) addAmbient(d *draft) {
	asked := len(d.props.User)
	for _, a := range d.ambient {
		s.addOne(d, a, asked)
	}
	d.ambient = nil
}

func (s *state) addOne(d *draft, a ambient, asked int) {
	if err := s.checkAmbient(a.UserProperty); err != nil {
		s.leave(a.UserProperty, err)
		return
	}
	list, same := d.props.User, func(u client.UserProperty) bool { return strings.EqualFold(u.Key, a.Key) }
	if slices.ContainsFunc(list[:min(asked, len(list))], same) {
		if !a.single {
			return // what the caller says counts
		}
		list = slices.DeleteFunc(slices.Clone(list), same)
	}
	list = append(list, a.UserProperty)
	if err := client.CheckSent(list); err != nil {
		s.leave(a.UserProperty, err)
		return
	}
	d.props.User = list
	d.msg.ambient++
}

// lighten takes the headers of the context out of a message that a connection
// refused as too large, and reports whether there were any.
func (s *state) lighten(m *Message, err error) bool {
	e, ok := errors.AsType[*event.Error](err)
	if !ok || e.Reason != event.ReasonTooLarge || e.MayHaveBeenSent || m.ambient == 0 {
		return false
	}
	asked := len(m.Properties.User) - m.ambient
	for _, u := range m.Properties.User[asked:] {
		s.leave(u, errors.New("with it the packet is over the broker's limit"))
	}
	m.Properties.User, m.ambient = m.Properties.User[:asked], 0
	return true
}

// checkAmbient refuses what some broker, or the sequence, could take offence at.
func (s *state) checkAmbient(u client.UserProperty) error {
	if err := client.CheckHeaderText(u); err != nil {
		return err
	}
	if reserved(u.Key) {
		return errReserved
	}
	return s.numberable([]client.UserProperty{u})
}

// attributes gives those headers of the context their place among the attributes
// of an event that have a fit name; the others remain, for the user properties
// of MQTT 5. attrs has what was asked for. Returns those that are in it now.
func (s *state) attributes(d *draft, attrs map[string]any) (added []client.UserProperty) {
	rest := d.ambient[:0:0]
	for _, a := range d.ambient {
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
			err = client.CheckSent(asHeaders(attrs))
		}
		if err == nil {
			added = append(added, a.UserProperty)
			continue
		}
		s.leave(a.UserProperty, err)
		if delete(attrs, a.Key); asked {
			attrs[a.Key] = before
		}
	}
	d.ambient = rest
	return added
}

// reserved reports whether a header says what the message is, which no context
// may change: its id and order, and the attributes of a CloudEvent.
func reserved(name string) bool {
	switch name = strings.ToLower(name); name {
	case idKey, OrderHeader, attrSource, "type", "subject", "time", "dataschema", attrSpecVersion, attrContentType:
		return true
	}
	return strings.HasPrefix(name, binaryPrefix)
}

var (
	errNoRoom   = errors.New("with it the event is over the limit for payloads")
	errReserved = errors.New("its name belongs to the message itself")
)
