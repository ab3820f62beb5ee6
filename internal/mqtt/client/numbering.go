package client

import (
	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/envelope"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/logsafe"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/sequence"
)

// number makes the message be numbered when it is sent, if that is configured.
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

// gapReports returns how gaps are reported.
func (l *Lasting) gapReports() sequence.Reports {
	return sequence.Reports{
		Later: func(f func()) { l.Client().Later(f) }, // a message has arrived, so there is a client
		Gap:   func(info event.GapInfo) { l.Client().hooks.Gap(info) },
		Log:   func() logsafe.Log { return l.Client().log },
	}
}

// checkEventSequence looks for gaps before a message whose number is in a structured event,
// which is decoded for its handler only. Other attempts and handlers see a duplicate.
func (l *Lasting) checkEventSequence(d *Delivery) {
	if !d.Retain && !d.Shared() {
		l.gapsIn(d.Topic, d.CloudEvent())
	}
}

// gapsIn looks for a number among user properties or attributes.
func (l *Lasting) gapsIn(topic string, list []UserProperty) {
	if number, ok := envelope.Last(list, sequence.Number); ok {
		source, _ := envelope.Last(list, sequence.Source)
		l.gaps.Arrived(topic, number, source)
	}
}
