package client

import (
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/envelope"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/session"
)

const (
	// packetRoom is what a packet may have beside the largest payload, in bytes: topic,
	// user properties within their limits, and the other properties.
	packetRoom = 64 << 10
	// leastReceive is the smallest Receive Maximum: below it brokers deliver one
	// message for each round trip and little more.
	leastReceive = 16
)

// maxPacket is the largest packet that is read whole; of a larger one the payload
// is skipped while it arrives.
func (c *Config) maxPacket() int { return c.MaxInbound + packetRoom }

// heldBytes bounds what one connection delivered and has no acknowledgement for:
// what waits in the queue, and as much again that is done behind something that is
// not.
func (c *Config) heldBytes() int64 { return 2 * c.QueueBytes }

// receiveMaximum is what a broker may have outstanding to us: messages of an eighth of
// the largest size are within the bound in bytes then, and none are more than the
// queue takes. Larger ones meet back-pressure; a window for the largest alone would
// slow small ones down on every link that is not local.
func (c *Config) receiveMaximum() int {
	n := max(leastReceive, c.heldBytes()/int64(c.maxPacket()/8))
	return int(min(n, session.DefaultReceiveMaximum, int64(c.queue())))
}

// queue is how many messages may wait: there is room for one for each worker.
func (c *Config) queue() int { return max(c.Queue, c.Concurrency) }

// bound sets what a connection that messages arrive on may take.
func (c *Config) bound(s *session.Config) {
	s.MaxPacketSize, s.MaxPayload = c.maxPacket(), c.MaxInbound
	s.MaxHeaders, s.MaxHeaderBytes = envelope.MaxHeaders, envelope.MaxHeaderBytes
	s.ReceiveMaximum = c.receiveMaximum()
	s.MaxHeld, s.MaxHeldBytes = c.queue()+s.ReceiveMaximum, c.heldBytes()
}
