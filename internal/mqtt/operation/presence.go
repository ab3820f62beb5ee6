package operation

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	v1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/v1"
	"github.com/kratos-mqtt/kratos-mqtt/event/eventimpl"
	"github.com/kratos-mqtt/kratos-mqtt/event/message"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/client"
)

// announce prepares the presence of the service.
func (r *registration) announce() {
	if r.desc == nil || r.desc.Presence == nil { // a nil description is among the errors already
		return
	}
	p := r.desc.Presence
	c, err := r.of.front.Client()
	if err != nil {
		return
	}
	id := c.ClientID()
	if id == "" {
		r.fail(fmt.Errorf("%s announces its presence, which needs a client id", r.desc.Name))
		return
	}
	under := r.prefix.text
	if strings.Contains(under, "+") {
		under = "" // one presence of the instance covers all of them
	}
	topic, err := parseTemplate(p.Topic).render(func(string) (string, error) {
		var b eventimpl.TopicBuilder
		b.String("client_id", id)
		return b.Topic()
	})
	if err != nil {
		r.fail(fmt.Errorf("presence of %s: %w", r.desc.Name, err))
		return
	}
	codec := c.Codec(eventimpl.PresenceCodec)
	payload := func(m *v1.Presence) ([]byte, error) {
		m.Service, m.ClientId = r.desc.Name, id
		return codec.Marshal(m)
	}
	offline, err := payload(&v1.Presence{})
	r.fail(err)
	retained := func(payload []byte) *client.Message {
		return &client.Message{
			Topic: under + topic, Payload: payload, QoS: p.QoS, Retain: true,
			Properties: &client.Properties{ContentType: message.TypeJSON},
		}
	}
	r.presence = &client.Presence{
		Offline: retained(offline),
		Online: func(since time.Time) (*client.Message, error) {
			online, err := payload(&v1.Presence{Online: true, Since: timestamppb.New(since)})
			return retained(online), err
		},
	}
}

// presence announces the one service that wants it: a connection has only one will.
func (s *services) presence(of *Registry) error {
	var found *registration
	var errs []error
	for _, r := range s.all {
		switch {
		case r.presence == nil:
		case found != nil:
			errs = append(errs, fmt.Errorf("%s and %s both announce their presence, but a connection has one will", found.desc.Name, r.desc.Name))
		default:
			found = r
		}
	}
	c, err := of.front.Client()
	if found == nil || err != nil {
		return errors.Join(errs...)
	}
	if err := c.Announce(found.presence); err != nil {
		errs = append(errs, fmt.Errorf("presence of %s: %w", found.desc.Name, err))
	}
	return errors.Join(errs...)
}
