package session

import (
	"errors"
	"hash/maphash"
	"slices"
	"strconv"
	"strings"

	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/link"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/logsafe"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/wire"
)

// flaw describes why a message that arrived whole cannot be handled normally.
// The message is not discarded, because the broker would deliver it again or it
// would be lost without a trace.
type flaw struct {
	skipped link.Skipped // sizes of a packet over a limit
	over    error        // the limit that was exceeded, or nil
	cut     bool         // user properties are missing
	text    error        // fault of ill-formed text, or nil
	topic   string       // as received, if its text is ill-formed
}

// Oversize returns the size in bytes of a packet over a limit whose payload was
// skipped, or 0 for any other packet. See [Inbound.OverLimit].
func (m *Inbound) Oversize() int {
	if m.flaw == nil {
		return 0
	}
	return m.flaw.skipped.Packet
}

// OverLimit returns which limit the message exceeds, or nil. The payload of
// such a message was skipped, and some of its user properties may be missing.
func (m *Inbound) OverLimit() error {
	if m.flaw == nil {
		return nil
	}
	return m.flaw.over
}

// Cut reports whether user properties are missing because they exceeded a
// limit.
func (m *Inbound) Cut() bool { return m.flaw != nil && m.flaw.cut }

// Digest returns the SHA-256 of a payload that was skipped because the message
// exceeds a limit, or nil if the payload is present.
func (m *Inbound) Digest() []byte {
	if m.Oversize() == 0 {
		return nil
	}
	return m.flaw.skipped.SHA256[:]
}

// Skipped returns the size of a skipped payload in bytes, or 0 if the payload
// is present.
func (m *Inbound) Skipped() int {
	if m.flaw == nil {
		return 0
	}
	return m.flaw.skipped.Payload
}

// IllFormed returns the fault in the text of the packet, or nil. Topic and
// Properties of such a message are escaped and must not be published to. No
// handler can process such a message.
func (m *Inbound) IllFormed() error {
	if m.flaw == nil {
		return nil
	}
	return m.flaw.text
}

// bear adds the flaw to m and makes its text well formed, so that it can be
// stored.
func (m *Inbound) bear(f *flaw) {
	m.flaw = f
	if f.text == nil {
		return
	}
	f.topic = m.Topic
	m.Topic = wellFormedTopic(m.Topic)
	if p := m.Properties; p != nil {
		p.ContentType = wellFormed(p.ContentType)
		p.ResponseTopic = "" // a reply must not be sent to an escaped topic
		for i, u := range p.User {
			p.User[i] = UserProperty{Key: wellFormed(u.Key), Value: wellFormed(u.Value)}
		}
	}
}

// maxIllFormed is how many bytes of an ill-formed text are kept: a byte can
// become four when escaped, and a store may accept no more than 65,535.
const maxIllFormed = 8 << 10

// noTopic replaces an empty topic.
const noTopic = `\empty`

// wellFormed escapes the characters that a text must not contain.
func wellFormed(s string) string {
	if len(s) > maxIllFormed {
		s = s[:maxIllFormed]
	}
	return logsafe.Line(s)
}

// wellFormedTopic makes a valid topic name of s that keeps its levels and is
// not empty.
func wellFormedTopic(s string) string {
	if s == "" {
		return noTopic
	}
	return strings.NewReplacer("+", `\x2b`, "#", `\x23`).Replace(wellFormed(s))
}

// maxTexts is how many ill-formed messages are remembered. A broker that passes
// on more of them does not check text.
const maxTexts = 8

// texts remembers the ill-formed messages that ended a connection, as the
// standard requires [MQTT-1.5.4-1]. A broker that keeps the session sends them
// again before everything else, so that closing again would end every
// connection. Used by the read loop only.
type texts struct {
	seed maphash.Seed
	seen []uint64
}

// again reports whether this ill-formed message has arrived before, or too many
// others have.
func (t *texts) again(p *wire.Publish) bool {
	if t.seen == nil {
		t.seed = maphash.MakeSeed()
	}
	var h maphash.Hash
	h.SetSeed(t.seed)
	_, _ = h.Write(p.Topic)
	_, _ = h.WriteString("\x00" + strconv.Itoa(len(p.Payload)) + "\x00")
	_, _ = h.Write(p.Props.User)
	_, _ = h.Write(p.Payload)
	sum := h.Sum64()
	if slices.Contains(t.seen, sum) || len(t.seen) >= maxTexts {
		return true
	}
	t.seen = append(t.seen, sum)
	return false
}

// illFormed handles a PUBLISH that cannot be decoded. It returns its flaw if
// the message is accepted nevertheless. Otherwise it returns nil, and an error
// ends the connection; without an error the message is dropped.
func (in *inbound) illFormed(c *conn, p *wire.Publish, first byte, body []byte, f *flaw, cause error) (*flaw, error) {
	m, ok := errors.AsType[*wire.MalformedError](cause)
	if !ok || !m.Text || p.DecodeAnyText(c.version, first, body) != nil {
		return nil, cause
	}
	switch {
	case in.cfg.Sink == nil:
		return nil, cause
	case in.closed.Load():
		return nil, nil
	case p.QoS == 0:
		in.flows(c)
		if in.bounded != nil {
			in.bounded.IllFormed(cause)
		}
		return nil, nil
	case !in.texts.again(p):
		return nil, cause
	}
	if f == nil {
		f = new(flaw)
	}
	f.text = cause
	return f, nil
}

// named reports whether the message has this topic on the wire.
func (m *Inbound) named(topic []byte) bool {
	if m.flaw != nil && m.flaw.text != nil {
		return m.flaw.topic == bytesString(topic)
	}
	return m.Topic == bytesString(topic)
}
