package embedded

import (
	"cmp"
	"slices"
	"strings"
	"sync/atomic"

	mochi "github.com/mochi-mqtt/server/v2"
)

// Client is a session that the broker knows.
type Client struct {
	ID string
	// Connected reports whether the client is there now.
	Connected bool
	// ProtocolVersion is 4 for MQTT 3.1.1 and 5 for MQTT 5.
	ProtocolVersion byte
	// Filters are the subscriptions, sorted.
	Filters []string
	// Queued counts the QoS 1 and 2 messages that wait for the client or for
	// its acknowledgement.
	Queued int
}

// URL is the mqtt:// address of the plain listener, the empty string while the
// broker is stopped and was never started.
func (b *Broker) URL() string { return b.urlOf("mqtt") }

// TLSURL is the mqtts:// address of the first TLS listener, empty if there is
// none.
func (b *Broker) TLSURL() string { return b.urlOf("mqtts") }

// WebSocketURL is the ws:// or wss:// address of the first WebSocket listener,
// empty if there is none.
func (b *Broker) WebSocketURL() string { return cmp.Or(b.urlOf("ws"), b.urlOf("wss")) }

func (b *Broker) urlOf(scheme string) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, e := range b.config.listeners {
		if e.scheme == scheme && !strings.HasSuffix(e.address, ":0") {
			return e.url()
		}
	}
	return ""
}

// Clients lists the sessions by client id.
func (b *Broker) Clients() []Client {
	server := b.running()
	if server == nil {
		return nil
	}
	var clients []Client
	for id, cl := range server.Clients.GetAll() {
		c := Client{
			ID:              id,
			Connected:       !cl.Closed(),
			ProtocolVersion: cl.Properties.ProtocolVersion,
			Queued:          cl.State.Inflight.Len(),
		}
		for filter := range cl.State.Subscriptions.GetAll() {
			c.Filters = append(c.Filters, filter)
		}
		slices.Sort(c.Filters)
		clients = append(clients, c)
	}
	slices.SortFunc(clients, func(a, b Client) int { return cmp.Compare(a.ID, b.ID) })
	return clients
}

// Retained lists the topics of the retained messages, sorted, without the
// broker's own below $SYS.
func (b *Broker) Retained() []string {
	server := b.running()
	if server == nil {
		return nil
	}
	var topics []string
	for topic := range server.Topics.Retained.GetAll() {
		if !strings.HasPrefix(topic, mochi.SysPrefix) {
			topics = append(topics, topic)
		}
	}
	slices.Sort(topics)
	return topics
}

// Dropped counts the messages that the broker threw away since it was made
// because a queue was full. A test of delivery is valid only while it is 0.
func (b *Broker) Dropped() int64 {
	server := b.running()
	if server == nil {
		return 0
	}
	return atomic.LoadInt64(&server.Info.MessagesDropped) + atomic.LoadInt64(&server.Info.InflightDropped)
}

// Kick ends the connection of a client without a word, its session stays. It
// reports whether the client was connected.
func (b *Broker) Kick(clientID string) bool {
	server := b.running()
	if server == nil {
		return false
	}
	cl, ok := server.Clients.Get(clientID)
	if !ok || cl.Closed() {
		return false
	}
	_ = cl.Net.Conn.Close()
	return true
}

func (b *Broker) running() *mochi.Server {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.server
}
