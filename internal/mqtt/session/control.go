package session

import (
	"context"

	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/link"
)

// control is the client library for one connection. It handles CONNECT,
// SUBSCRIBE, UNSUBSCRIBE, PING and DISCONNECT and never sees an application
// message.
type control interface {
	// connect performs the handshake on a dialled link. A refusal in CONNACK is
	// a *CodeError.
	connect(ctx context.Context, l *link.Conn, k credentials) error
	// subscribe requests filters and returns one answer for each. With an error
	// some answers may be missing.
	subscribe(ctx context.Context, filters []Filter) ([]answer, error)
	// unsubscribe removes a filter. A refusal is a *CodeError.
	unsubscribe(ctx context.Context, filter string) error
	// disconnect sends DISCONNECT if the link is alive, and always ends every
	// goroutine of the library.
	disconnect(reason byte)
}

// credentials are what CONNECT authenticates with.
type credentials struct {
	username, password string
	method             string // of enhanced authentication (MQTT 5); empty means none
	data               []byte
}

// answer is the broker's answer to one filter: its reason code and, on MQTT 5,
// its reason string.
type answer struct {
	code    byte
	detail  string
	missing bool
}

// Filter is one subscription.
type Filter struct {
	// Filter is the topic filter, with the prefix $share for a shared one.
	Filter string
	// QoS is the highest QoS at which the broker may deliver.
	QoS byte
	// ID is the subscription identifier (MQTT 5); 0 means none.
	ID uint32
	// RetainHandling determines when the broker sends retained messages (MQTT
	// 5): 0 at each SUBSCRIBE, 1 only at a new one, 2 never.
	RetainHandling byte
	// NoLocal excludes messages that this client published (MQTT 5).
	NoLocal bool
}
