package client

import (
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/delivery"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/session"
)

// leftovers counts what Stop could not finish.
type leftovers struct {
	mu                         sync.Mutex
	unfinished, unacknowledged int // as reported by the sessions
}

func (l *leftovers) closed(ev session.Closed) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.unfinished += ev.Unfinished
	l.unacknowledged += ev.Unacknowledged
}

// report logs one line about what was not finished, if anything.
func (l *leftovers) report(c *Client, drained error, outbox, flying int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var parts []string
	part := func(n int, what string) {
		if n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, what))
		}
	}
	if d, ok := errors.AsType[*delivery.DrainError](drained); ok {
		part(d.Running, "handlers running")
		part(d.Dropped, "messages not handled")
	}
	part(l.unacknowledged, "messages unacknowledged, for the broker to deliver again")
	part(l.unfinished-flying, "publishes unfinished")
	part(outbox, "messages in the outbox")
	if len(parts) > 0 {
		c.log.Warn("mqtt: stopped, and left: " + strings.Join(parts, ", "))
	}
}
