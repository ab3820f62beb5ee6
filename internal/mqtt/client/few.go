package client

import (
	"fmt"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event/deadletter"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/logsafe"
)

// fewPerMinute lets some lines of a log through each minute, a sender of many
// messages takes none of others. The zero value is ready; it is safe for concurrent use.
type fewPerMinute struct{ few logsafe.Few }

// say calls line if a line may be written now. others is a text for it that says how
// many were left out since the one before; "" is none.
func (f *fewPerMinute) say(line func(others string)) { f.sayFor("", line) }

// sayOf is say for a line about a message.
func (f *fewPerMinute) sayOf(d *Delivery, line func(others string)) { f.sayFor(originOf(d), line) }

func (f *fewPerMinute) sayFor(origin string, line func(others string)) {
	skipped, due := f.few.Due(time.Now(), origin)
	switch {
	case !due:
	case skipped > 0:
		line(fmt.Sprintf(" (and %d more, left out of the log)", skipped))
	default:
		line("")
	}
}

// originOf is whose message it is, by what access rules guard of its topic.
func originOf(d *Delivery) string {
	var l deadletter.Letter
	l.Topic, l.Filter = d.Topic, d.Filter()
	return l.Origin()
}
