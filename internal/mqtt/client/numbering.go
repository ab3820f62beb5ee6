package client

import (
	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/envelope"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/logsafe"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/sequence"
)

// number has the message numbered when it is sent, where that is wanted.
func (p *publisher) number(m *Outgoing, entry uint64) {
	if p.sequence == nil || m.Stamp != nil {
		return
	}
	var place func([]byte, ...string) []byte
	if p.envelope.Source != "" && m.Structured() {
		place = envelope.AddAttributes
	}
	m.Stamp = p.sequence.Stamp(m.Topic, entry, place)
}

// numberable returns what refuses headers that would be there twice.
func numberable(numbers *sequence.Numbers) func([]UserProperty) error {
	return func(list []UserProperty) error {
		if numbers == nil {
			return nil
		}
		return sequence.Check(list)
	}
}

// unplaced logs once that there is no place for numbers.
func (p *publisher) unplaced() {
	if p.sequence != nil && p.envelope.Source == "" && p.client.Speaks() == Version31 {
		p.client.lasting.unplaced.Do(func() {
			p.log.Warnf("mqtt: messages are not numbered: MQTT 3.1.1 has no place for a sequence without the CloudEvents carrier")
		})
	}
}

// gapReports returns how gaps are reported.
func (l *Lasting) gapReports() sequence.Teller {
	return sequence.Teller{
		Later: func(f func()) { l.Client().Later(f) }, // messages arrive: there is a client
		Gap:   func(info event.GapInfo) { l.Client().hooks.Gap(info) },
		Log:   func() logsafe.Logger { return l.Client().log },
	}
}

// arrived looks at each message, on the read loop.
func (l *Lasting) arrived(m *Inbound) {
	if !m.Retain { // a message that was kept tells nothing of those after it
		l.gapsIn(m.Topic, m.Properties.User)
	}
}

// arrivedEvent looks at a message whose number is in a structured event, which only
// its handler reads. Other attempts and handlers see a duplicate.
func (l *Lasting) arrivedEvent(d *Delivery) {
	if !d.Retain && !d.Shared() {
		l.gapsIn(d.Topic, d.CloudEvent())
	}
}

// gapsIn looks for a number among user properties, or attributes.
func (l *Lasting) gapsIn(topic string, list []UserProperty) {
	if number, ok := envelope.Last(list, sequence.Number); ok {
		source, _ := envelope.Last(list, sequence.Source)
		l.gaps.Arrived(topic, number, source)
	}
}
