package client

import (
	"cmp"
	"errors"
	"net"
	"strings"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/session"
)

// outages keep the log readable while a broker is down: the first failure of a
// client at an address is a warning, further ones of the same kind are details,
// and the connection that ends the outage has their number. Its owner is the goroutine of
// the events.
type outages map[string]*outage // by client id

// outage is what is known of the time without a connection of one client.
type outage struct {
	began    time.Time
	attempts int
	told     map[failure]bool
	lost     bool // it began with the loss of a connection, which was logged
}

// failure is one kind of failed attempt.
type failure struct {
	address string
	reason  event.Reason
}

// of returns the outage of a client, which begins with the first call.
func (o outages) of(clientID string) *outage {
	if o[clientID] == nil {
		o[clientID] = &outage{began: time.Now(), told: make(map[failure]bool)}
	}
	return o[clientID]
}

// lost notes that a connection has ended. That is logged as a warning of its own, so
// the network failure that follows is not logged again.
func (o outages) lost(clientID string) {
	o.of(clientID).lost = true
}

// failed notes an attempt and reports whether it is news.
func (o outages) failed(ev session.ConnectFailed) bool {
	now, reason := o.of(ev.ClientID), cmp.Or(event.ReasonOf(ev.Err), event.ReasonNetwork)
	now.attempts++
	kind := failure{ev.Address, reason}
	if now.told[kind] || now.lost && reason == event.ReasonNetwork {
		return false
	}
	now.told[kind] = true
	return true
}

// ended returns how long the outage took that a connection has ended, and how
// many attempts failed in it; 0 without one.
func (o outages) ended(clientID string) (took time.Duration, attempts int) {
	now := o[clientID]
	if now == nil {
		return 0, 0
	}
	delete(o, clientID)
	return time.Since(now.began), now.attempts
}

// rounded is a pause as a person reads it.
func rounded(d time.Duration) time.Duration {
	if d >= time.Second {
		return d.Round(100 * time.Millisecond)
	}
	return d.Round(10 * time.Millisecond)
}

// withoutAddress is the text of a failed attempt beside an address that is there
// already.
func withoutAddress(err error, address string) string {
	text := err.Error()
	if op := (*net.OpError)(nil); errors.As(err, &op) && op.Err != nil {
		if i := strings.Index(text, op.Error()); i >= 0 {
			text = text[:i] + op.Err.Error() + text[i+len(op.Error()):]
		}
	}
	return strings.ReplaceAll(strings.ReplaceAll(text, "dial "+address+": ", ""), "mqtt: connect: ", "")
}
