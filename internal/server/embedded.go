package server

import (
	"context"
	"fmt"
	"time"

	"github.com/go-kratos/kratos/v2/log"
	"google.golang.org/protobuf/proto"

	kratosmqttv1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/v1"
	"github.com/kratos-mqtt/kratos-mqtt/internal/conf"
)

const (
	// drainStall is how long Drain waits while nothing becomes less, drainPoll how
	// often it looks.
	drainStall = 2 * time.Second
	drainPoll  = 10 * time.Millisecond
)

// Embedded is the in-process broker, if this process runs one. Every method
// works on nil.
type Embedded struct {
	url    string
	path   string // of the file that it keeps sessions in, empty for none
	queued func(clientID string) int
	close  func()
}

// NewEmbedded starts the in-process broker when the configuration has one and
// names no other broker, else it returns nil. The broker outlives all servers:
// they still use it while they stop. The returned function closes it.
func NewEmbedded(c *conf.Server, m *conf.MQTT, logger log.Logger) (*Embedded, func(), error) {
	if c.GetEmbedded() == nil || len(m.GetConnection().GetAddresses()) > 0 {
		return nil, func() {}, nil
	}
	e, err := startEmbedded(c.Embedded, logger)
	if err != nil {
		return nil, nil, fmt.Errorf("in-process MQTT broker: %w", err)
	}
	return e, e.close, nil
}

// NewConnection is the configured connection to the broker; without an address
// it leads to the in-process one, wherever that listens.
func NewConnection(m *conf.MQTT, e *Embedded) (*kratosmqttv1.Connection, error) {
	connection := &kratosmqttv1.Connection{}
	if m.GetConnection() != nil {
		connection = proto.CloneOf(m.Connection)
	}
	if len(connection.Addresses) > 0 {
		return connection, nil
	}
	if e == nil {
		return nil, fmt.Errorf("no MQTT broker: set %s", conf.EnvMQTTBroker)
	}
	connection.Addresses = []string{e.url}
	if connection.Protocol == "" {
		connection.Protocol = protocol5 // has headers, traces and requests
	}
	return connection, nil
}

// URL is where clients reach the broker, empty without one.
func (e *Embedded) URL() string {
	if e == nil {
		return ""
	}
	return e.url
}

// Path is the file that the broker keeps sessions in, empty for none.
func (e *Embedded) Path() string {
	if e == nil {
		return ""
	}
	return e.path
}

// Drain waits until the subscriber with this client id has acknowledged every
// message that the broker accepted at QoS 1 or 2: without a file, what the broker
// holds when it closes is gone. It gives up when ctx ends, or when for 2 s there were never fewer
// than before, which happens when devices go on sending.
func (e *Embedded) Drain(ctx context.Context, clientID string) {
	if e == nil {
		return
	}
	tick := time.NewTicker(drainPoll)
	defer tick.Stop()
	fewest, since := e.queued(clientID), time.Now()
	// Twice nothing, because the broker confirms a message a moment before it
	// queues it.
	for idle := 0; idle < 2; {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		n := e.queued(clientID)
		if idle++; n > 0 {
			idle = 0
		}
		if n < fewest {
			fewest, since = n, time.Now()
		}
		if n > 0 && time.Since(since) >= drainStall {
			return
		}
	}
}

// Backlog is what the subscriber with this client id has not acknowledged; nil is
// none.
func (e *Embedded) Backlog(clientID string) *Backlog {
	if e == nil {
		return nil
	}
	fate := "they are lost: this broker has no file to keep them in"
	if e.path != "" {
		fate = "the broker sends them after the next start"
	}
	return &Backlog{
		Place: "at the in-process broker", Fate: fate,
		Count: func() int { return e.queued(clientID) },
	}
}
