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

// outages keeps the log readable while a broker is down: the first failure of a client at
// an address is logged as a warning, further ones of the same kind as details, and the
// connection that ends the outage is logged with their number. Only the goroutine of the
// events uses it.
type outages map[string]*outage // by client id

// outage is the state of one client while it has no connection.
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
	tls     event.TLSProblem
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

// failed records an attempt and reports whether it is to be logged as a warning.
func (o outages) failed(ev session.ConnectFailed) bool {
	now, reason := o.of(ev.ClientID), cmp.Or(event.ReasonOf(ev.Err), event.ReasonNetwork)
	now.attempts++
	kind := failure{ev.Address, reason, event.TLSProblemOf(ev.Err)}
	if now.told[kind] || now.lost && kind.tls == "" && reason == event.ReasonNetwork {
		return false
	}
	now.told[kind] = true
	return true
}

// ended returns how long the outage took and how many attempts failed; 0 if there was none.
func (o outages) ended(clientID string) (took time.Duration, attempts int) {
	now := o[clientID]
	if now == nil {
		return 0, 0
	}
	delete(o, clientID)
	return time.Since(now.began), now.attempts
}

// addressedError is the error of a failed attempt without the address in its text, which the
// log line has already.
type addressedError struct {
	error
	address string
}

// Error returns the text.
func (e addressedError) Error() string {
	text := e.error.Error()
	if op := (*net.OpError)(nil); errors.As(e.error, &op) && op.Err != nil {
		if i := strings.Index(text, op.Error()); i >= 0 {
			text = text[:i] + op.Err.Error() + text[i+len(op.Error()):]
		}
	}
	return strings.ReplaceAll(strings.ReplaceAll(text, "dial "+e.address+": ", ""), "mqtt: connect: ", "")
}

// Unwrap returns the error.
func (e addressedError) Unwrap() error { return e.error }
