package sequence

import (
	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/logsafe"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/topic"
)

// reportGap reports a gap, on the goroutine of Reports.
func (g *Gaps) reportGap(info event.GapInfo) {
	if g.to.Gap != nil {
		g.to.Gap(info)
	}
	l := g.to.Log()
	l.Few("gaps", topic.Guarded(info.Topic, senderLevels), func(more []any) {
		fields := append(more, logsafe.KeyTopic, info.Topic, logsafe.KeySource, info.Source, logsafe.KeyNumber, info.Got, logsafe.KeyExpected, info.Expected)
		switch {
		case info.Jump:
			l.Warn("mqtt: a sequence number cannot be, and says nothing of what is missing", fields...)
		case info.Missing < 0:
			l.Info("mqtt: a missing message was late, and is not missing any more", fields...)
		default:
			l.Warn("mqtt: messages are missing", append(fields, logsafe.KeyCount, info.Missing)...)
		}
	})
}

// full logs that a series of the topic was forgotten, on the goroutine of Reports.
func (g *Gaps) full(topic string) {
	g.sayFull.Store(false)
	l := g.to.Log()
	l.Seldom("sequences forgotten", func(more []any) {
		l.Warn("mqtt: no room for more sequences: one was forgotten, and what of it is missing now is not noticed", append(more,
			logsafe.KeyTopic, topic, logsafe.KeyTotal, g.forgotten.Load())...)
	})
}
