package engine

import (
	"sync/atomic"
	"time"
)

// unrouted counts a message that the broker took although no subscription
// matches it, and says so once a minute. It is called on a read loop.
func (r *run) unrouted(topic []byte) {
	c := r.client
	n := c.counts.unrouted.Add(1)
	if !c.unroutedLog.due(time.Now()) {
		return
	}
	name := string(topic)
	r.events.do(func() {
		c.log.Warnf("mqtt: the broker has no subscriber for %.*q, and dropped the message (%d so far; said once a minute)", maxShown, name, n)
	})
}

// maxShown is how many characters of a topic are shown.
const maxShown = 128

// perMinute lets one of many lines of a log through each minute.
type perMinute struct{ last atomic.Int64 }

func (p *perMinute) due(now time.Time) bool {
	last, at := p.last.Load(), now.UnixNano()
	return (last == 0 || at-last >= int64(time.Minute)) && p.last.CompareAndSwap(last, at)
}
