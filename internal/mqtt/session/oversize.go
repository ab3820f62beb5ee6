package session

import (
	"crypto/sha256"
	"fmt"

	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/link"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/wire"
)

// bodyLimits are the limits of a message that is accepted whole. If one is
// exceeded the payload is dropped on arrival, and so are the user properties
// beyond the limits. 0 means no limit; headers is never 0.
type bodyLimits struct {
	payload     int // bytes
	headers     int // user properties
	headerBytes int // bytes of their names and values
}

func (c *Config) bodyLimits() bodyLimits {
	l := bodyLimits{c.MaxPayload, c.MaxHeaders, c.MaxHeaderBytes}
	def(&l.headers, maxUser)
	return l
}

// over returns the limit that a message exceeds, or nil.
func (l *bodyLimits) over(p *wire.Publish) error {
	if n := len(p.Payload); l.payload > 0 && n > l.payload {
		return fmt.Errorf("payload of %d bytes, want at most %d", n, l.payload)
	}
	return l.overHeaders(p)
}

func (l *bodyLimits) overHeaders(p *wire.Publish) error {
	if n := p.Props.UserCount; n > l.headers {
		return fmt.Errorf("%d headers, want at most %d", n, l.headers)
	}
	if n := p.Props.UserBytes; l.headerBytes > 0 && n > l.headerBytes {
		return fmt.Errorf("headers of %d bytes, want at most %d", n, l.headerBytes)
	}
	return nil
}

// fit removes the parts of a message that exceed the limits, before they take memory,
// and returns the resulting flaw, or f. packet is the size of the whole packet in
// bytes.
func (in *inbound) fit(p *wire.Publish, packet int, f *flaw) *flaw {
	l := &in.limits
	over := l.over(p)
	if over == nil && (f == nil || f.skipped.Packet == 0) {
		return f
	}
	if f == nil {
		f = new(flaw)
	}
	if f.skipped.Packet == 0 {
		f.skipped = link.Skipped{Packet: packet, Payload: len(p.Payload), SHA256: sha256.Sum256(p.Payload)}
		f.over = over
	} else {
		f.over = fmt.Errorf("packet of %d bytes, want at most %d", f.skipped.Packet, in.cfg.MaxPacketSize)
	}
	f.cut = l.overHeaders(p) != nil
	p.Payload = nil
	return f
}

// userSize is the memory that a user property takes in addition to its name and
// value.
const userSize = 48

// sizeOf returns the size of a message that counts against all limits: that of
// its packet plus the memory of its user properties, in bytes.
func (in *inbound) sizeOf(p *wire.Publish) int {
	l, props := &in.limits, &p.Props
	user := props.UserBytes
	if l.headerBytes > 0 {
		user = min(user, l.headerBytes)
	}
	user += userSize * min(props.UserCount, l.headers)
	return wire.MaxHeader + 2 + len(p.Topic) + len(p.Payload) +
		len(props.ContentType) + len(props.ResponseTopic) + len(props.CorrelationData) + user
}
