package sequence

import (
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/logsafe"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/topic"
)

// tell tells of a finding, on the teller's goroutine.
func (g *Gaps) tell(info event.GapInfo) {
	if g.teller.Gap != nil {
		g.teller.Gap(info)
	}
	skipped, due := g.due(time.Now(), info.Topic)
	if !due {
		return
	}
	l, name, source := g.teller.Log(), logsafe.Clip(info.Topic), logsafe.Clip(info.Source)
	switch {
	case info.Jump:
		l.Warnf("mqtt: a number cannot be, and says nothing of what is missing: topic %q, number %d of %q arrived where %d was next (%d more such gaps were not logged)",
			name, info.Got, source, info.Expected, skipped)
	case info.Missing < 0:
		l.Infof("mqtt: late, and not missing any more: topic %q, number %d of %q (%d more such gaps were not logged)",
			name, info.Got, source, skipped)
	default:
		l.Warnf("mqtt: %d messages are missing: topic %q, number %d of %q arrived where %d was next (%d more such gaps were not logged)",
			info.Missing, name, info.Got, source, info.Expected, skipped)
	}
}

// due reports whether there is a line for a gap on the topic, and how many went without
// one: a flood of gaps must not be a flood of lines, and a sender's must leave lines for
// others.
func (g *Gaps) due(now time.Time, name string) (skipped int, due bool) {
	return g.lines.Due(now, topic.Guarded(name, senderLevels))
}

// full logs that a series of the topic was forgotten, on the teller's goroutine.
func (g *Gaps) full(topic string) {
	g.teller.Log().Warnf("mqtt: no room for more sequences: one of topic %q was forgotten, and what of it is missing now is not noticed (%d so far, said once a minute)",
		logsafe.Clip(topic), g.forgotten.Load())
}
