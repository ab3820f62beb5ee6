package session

import (
	"context"

	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/link"
)

// control is a client library doing what it is good at, for one connection:
// CONNECT, SUBSCRIBE, UNSUBSCRIBE, PING and DISCONNECT. It never sees an
// application message.
type control interface {
	// connect performs the handshake on a dialled link. The error of a
	// refusing CONNACK is a *CodeError.
	connect(ctx context.Context, l *link.Conn, k credentials) error
	// subscribe asks for filters and returns one answer for each. With an error
	// some of them may be missing.
	subscribe(ctx context.Context, filters []Filter) ([]answer, error)
	// unsubscribe gives a filter up. A refusal is a *CodeError.
	unsubscribe(ctx context.Context, filter string) error
	// disconnect says goodbye when the link is alive, and ends every
	// goroutine of the library in any case.
	disconnect(reason byte)
}

type credentials struct{ username, password string }

// answer is what the broker says to one filter: its reason code and, on MQTT
// 5, its reason string.
type answer struct {
	code    byte
	detail  string
	missing bool
}

// Filter is one wanted subscription.
type Filter struct {
	// Filter is the topic filter, with $share in front for a shared one.
	Filter string
	// QoS is the highest level that the broker may deliver at.
	QoS byte
	// ID is the subscription identifier, MQTT 5; 0 is none.
	ID uint32
	// RetainHandling says when the broker sends retained messages, MQTT 5: 0
	// at each SUBSCRIBE, 1 at a new one only, 2 never.
	RetainHandling byte
	// NoLocal keeps our own messages away, MQTT 5.
	NoLocal bool
}
