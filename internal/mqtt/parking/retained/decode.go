package retained

import (
	"errors"
	"fmt"

	"github.com/kratos-mqtt/kratos-mqtt/event/deadletter"
	"github.com/kratos-mqtt/kratos-mqtt/event/message"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/logsafe"
)

// decoder decodes retained messages as dead letters. Others may write there, so it is
// untrusted input: a message that does not fit becomes a suspect letter, which is never
// replayed.
type decoder struct {
	service string
	keys    deadletter.SigningKeys
	// ours reports whether a message on this topic could have come to the service.
	ours func(topic string) bool
}

// letter decodes the dead letter whose id is in its topic. Its state is always dead,
// whatever the message contains. A message that cannot be decoded is still a letter, with
// a note and the payload, as in other stores: it may have been written with MQTT 5, whose
// properties MQTT 3.1.1 does not show.
//
// counts reports whether the service may have written it, so that it takes of the room for
// letters: messages of others must not use up that room.
func (d decoder) letter(m *message.Message, id string) (l *deadletter.Letter, counts bool) {
	l, unread := deadletter.Decode(m)
	if unread != nil {
		l = &deadletter.Letter{Reason: logsafe.Text(fmt.Sprintf("letter cannot be read, on MQTT 5 it may be: %v", unread))}
		l.Payload = m.Payload
	}
	foreign := d.foreign(l, id)
	if err := errors.Join(unread, foreign, d.unknown(l)); err != nil {
		l.Suspect = logsafe.Text(err.Error())
	}
	counts = foreign == nil || unread != nil && len(d.keys) == 0 && isID(id)
	l.ID, l.State, l.Owner = id, deadletter.Dead, ""
	l.Reason = logsafe.Text(l.Reason)
	return l, counts
}

// foreign returns why a letter was not written by this service, or nil if it may have
// been. Only a signature proves that it was.
func (d decoder) foreign(l *deadletter.Letter, id string) error {
	var errs []error
	switch {
	case !isID(id):
		errs = append(errs, errors.New("it is not where the service keeps a letter"))
	case l.ID != id:
		errs = append(errs, fmt.Errorf("it says that its id is %q, and its topic another", logsafe.Clip(l.ID)))
	}
	if l.Service != d.service {
		errs = append(errs, fmt.Errorf("it is of the service %q, want %q", logsafe.Clip(l.Service), d.service))
	}
	if l.State != deadletter.Dead {
		errs = append(errs, fmt.Errorf("its state is %q, want %q", logsafe.Clip(string(l.State)), deadletter.Dead))
	}
	if len(d.keys) > 0 {
		errs = append(errs, d.keys.Verify(l))
	}
	return errors.Join(errs...)
}

// unknown returns an error for an unsigned letter whose content cannot be trusted. It is
// trusted if a message on its topic could have reached the service anyway.
func (d decoder) unknown(l *deadletter.Letter) error {
	if len(d.keys) > 0 || d.ours(l.Topic) {
		return nil
	}
	return fmt.Errorf("its message was on %q, which no subscription of this client matches", logsafe.Clip(l.Topic))
}
