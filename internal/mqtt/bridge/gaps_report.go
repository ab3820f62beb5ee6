package bridge

import (
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/client"
)

// watch has the broker notice gaps.
func (b *Broker) watch() {
	b.gaps.later = func(f func()) { b.state().client.Later(f) } // messages arrive: there is a client
	b.gaps.tell, b.gaps.full = b.tellGaps, b.tellForgotten
}

// onArrival looks at each message, on the read loop.
func (b *Broker) onArrival(m *client.Inbound) {
	if !m.Retain { // a message that was kept tells nothing of those after it
		b.gaps.arrived(m.Topic, m.Properties.User)
	}
}

// inEvent looks at a message whose number is in a structured event, which only
// its handler reads. Other attempts and handlers see a duplicate.
func (b *Broker) inEvent(e *Event) {
	if e.ce != nil && !e.delivery.Retain && !e.delivery.Shared() {
		b.gaps.arrived(e.delivery.Topic, e.ce.attributes)
	}
}

// tellGaps runs on the client's goroutine.
func (b *Broker) tellGaps(reports []event.GapInfo) {
	s := b.state()
	for _, info := range reports {
		later(s.told.gap, event.GapHook.OnGap, info)
		if info.Jump {
			if ok, left := b.gapLog.may(time.Now(), info.Topic); ok {
				s.log.Warnf("mqtt: a number cannot be, and says nothing of what is missing: topic %q, number %d of %q arrived where %d was next (%d more such gaps were not logged)",
					clip(info.Topic), info.Got, clip(info.Source), info.Expected, left)
			}
			continue
		}
		if info.Missing < 0 {
			if ok, left := b.gapLog.may(time.Now(), info.Topic); ok {
				s.log.Infof("mqtt: late, and not missing any more: topic %q, number %d of %q (%d more such gaps were not logged)",
					clip(info.Topic), info.Got, clip(info.Source), left)
			}
			continue
		}
		if ok, left := b.gapLog.may(time.Now(), info.Topic); ok {
			s.log.Warnf("mqtt: %d messages are missing: topic %q, number %d of %q arrived where %d was next (%d more such gaps were not logged)",
				info.Missing, clip(info.Topic), info.Got, clip(info.Source), info.Expected, left)
		}
	}
}

// tellForgotten runs on the client's goroutine.
func (b *Broker) tellForgotten(topic string) {
	b.state().log.Warnf("mqtt: no room for more sequences: one of topic %q was forgotten, and what of it is missing now is not noticed (%d so far, said once a minute)",
		clip(topic), b.gaps.forgotten.Load())
}
