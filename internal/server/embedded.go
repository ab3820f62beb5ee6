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
	// drainStall is how long Drain waits without progress; drainPoll is how often it
	// checks.
	drainStall = 2 * time.Second
	drainPoll  = 10 * time.Millisecond
)

// Embedded is the in-process broker, if this process runs one. All methods may be
// called on nil.
type Embedded struct {
	url    string
	path   string // of the file that stores sessions; empty if there is none
	queued func(clientID string) int
	close  func()
}

// NewEmbedded starts the in-process broker if the configuration has one and names no
// other broker; otherwise it returns nil. The broker must outlive all servers, which
// still use it while they stop. The returned function closes it.
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

// NewConnection returns the configured connection to the broker. Without an address it
// connects to the in-process broker.
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
		connection.Protocol = "5" // for headers, traces and requests
	}
	return connection, nil
}

// URL returns the address that clients connect to, or "" if there is no broker.
func (e *Embedded) URL() string {
	if e == nil {
		return ""
	}
	return e.url
}

// Path returns the file that the broker stores sessions in, or "" if there is none.
func (e *Embedded) Path() string {
	if e == nil {
		return ""
	}
	return e.path
}

// Drain waits until the subscriber with this client id has acknowledged all QoS 1 and
// QoS 2 messages that the broker accepted: without a file they are lost when the broker
// closes. It returns early when ctx ends, or when the number of messages has not
// dropped for 2 s, which happens while devices keep sending.
func (e *Embedded) Drain(ctx context.Context, clientID string) {
	if e == nil {
		return
	}
	tick := time.NewTicker(drainPoll)
	defer tick.Stop()
	fewest, since := e.queued(clientID), time.Now()
	// The queue must be empty twice, because the broker acknowledges a message just
	// before it queues it.
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

// Backlog returns what the subscriber with this client id has not acknowledged, or
// nil if there is no broker.
func (e *Embedded) Backlog(clientID string) *Backlog {
	if e == nil {
		return nil
	}
	fate := "they are lost: this broker stores sessions in memory only"
	if e.path != "" {
		fate = "the broker sends them again after the next start"
	}
	return &Backlog{
		Place: "at the in-process broker", Fate: fate,
		Count: func() int { return e.queued(clientID) },
	}
}
