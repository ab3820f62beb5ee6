package client

import (
	"errors"
	"fmt"

	"github.com/kratos-mqtt/kratos-mqtt/event/deadletter"
	"github.com/kratos-mqtt/kratos-mqtt/event/message"
)

// letterCheck reads what is retained as a letter. Others may write there, so that it
// is input: what does not fit is a suspect letter, never one that is replayed.
type letterCheck struct {
	service string
	keys    deadletter.Keys
	// ours reports whether a message on this topic could have come to the service.
	ours func(topic string) bool
}

func (c *Client) letterCheck() letterCheck {
	return letterCheck{service: c.cfg.Service, keys: c.cfg.LetterKeys, ours: c.Subscribes}
}

// letter reads the letter with the id that its topic says. It is a dead one, whatever
// it says of itself. What cannot be read is a letter all the same, that says so and has
// the payload that is there, as in other stores: it may have been written on MQTT 5,
// whose properties MQTT 3.1.1 does not show.
//
// counts reports whether the service may have written it, so that it takes of the room
// for letters: what somebody else writes must not take that of anybody.
func (c letterCheck) letter(m *message.Message, id string) (l *deadletter.Letter, counts bool) {
	l, unread := deadletter.Decode(m)
	if unread != nil {
		l = &deadletter.Letter{Reason: reason(fmt.Errorf("letter cannot be read, on MQTT 5 it may be: %w", unread))}
		l.Payload = m.Payload
	}
	foreign := c.foreign(l, id)
	if err := errors.Join(unread, foreign, c.unknown(l)); err != nil {
		l.Suspect = reason(err)
	}
	counts = foreign == nil || unread != nil && len(c.keys) == 0 && isLetterID(id)
	l.ID, l.State, l.Owner = id, deadletter.Dead, ""
	l.Reason = reason(errors.New(l.Reason))
	return l, counts
}

// foreign is why a letter is not what this service wrote; nil is nothing. Only a
// signature proves that it is.
func (c letterCheck) foreign(l *deadletter.Letter, id string) error {
	var errs []error
	switch {
	case !isLetterID(id):
		errs = append(errs, errors.New("it is not where the service keeps a letter"))
	case l.ID != id:
		errs = append(errs, fmt.Errorf("it says that its id is %q, and its topic another", shorten(l.ID)))
	}
	if l.Service != c.service {
		errs = append(errs, fmt.Errorf("it is of the service %q, want %q", shorten(l.Service), c.service))
	}
	if l.State != deadletter.Dead {
		errs = append(errs, fmt.Errorf("its state is %q, want %q", shorten(string(l.State)), deadletter.Dead))
	}
	if len(c.keys) > 0 {
		errs = append(errs, c.keys.Verify(l))
	}
	return errors.Join(errs...)
}

// unknown doubts a letter without a signature of which it is only known what it says.
// That is believed where a message could have come to the service with that topic anyway.
func (c letterCheck) unknown(l *deadletter.Letter) error {
	if len(c.keys) > 0 || c.ours(l.Topic) {
		return nil
	}
	return fmt.Errorf("its message was on %q, which no subscription of this client matches", shorten(l.Topic))
}
