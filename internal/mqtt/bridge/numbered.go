package bridge

import (
	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/client"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/envelope"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/logsafe"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/sequence"
)

// number has the message numbered when it is sent, where that is wanted.
func (s *state) number(m *Message, entry uint64) {
	if s.sequence == nil || m.Stamp != nil {
		return
	}
	var place func([]byte, ...string) []byte
	if s.envelope.Source != "" && m.Structured() {
		place = envelope.AddAttributes
	}
	m.Stamp = s.sequence.Stamp(m.Topic, entry, place)
}

// numberable refuses headers that would be there twice.
func (s *state) numberable(list []client.UserProperty) error {
	if s.sequence == nil {
		return nil
	}
	return sequence.Check(list)
}

// unplaced logs once that there is no place for numbers.
func (s *state) unplaced() {
	if s.sequence != nil && s.envelope.Source == "" && s.client.Speaks() == client.Version31 {
		s.broker.unplaced.Do(func() {
			s.log.Warnf("mqtt: messages are not numbered: MQTT 3.1.1 has no place for a sequence without the CloudEvents carrier")
		})
	}
}

// gapTeller returns what the gaps of this broker are told by.
func (b *Broker) gapTeller() sequence.Teller {
	return sequence.Teller{
		Later: func(f func()) { b.state().client.Later(f) }, // messages arrive: there is a client
		Gap:   func(info event.GapInfo) { b.state().told.Gap(info) },
		Log:   func() logsafe.Logger { return b.state().log },
	}
}

// onArrival looks at each message, on the read loop.
func (b *Broker) onArrival(m *client.Inbound) {
	if !m.Retain { // a message that was kept tells nothing of those after it
		b.gapsIn(m.Topic, m.Properties.User)
	}
}

// inEvent looks at a message whose number is in a structured event, which only
// its handler reads. Other attempts and handlers see a duplicate.
func (b *Broker) inEvent(d *client.Delivery) {
	if !d.Retain && !d.Shared() {
		b.gapsIn(d.Topic, d.CloudEvent())
	}
}

// gapsIn looks for a number among user properties, or attributes.
func (b *Broker) gapsIn(topic string, list []client.UserProperty) {
	if number, ok := envelope.Last(list, sequence.Number); ok {
		source, _ := envelope.Last(list, sequence.Source)
		b.gaps.Arrived(topic, number, source)
	}
}
