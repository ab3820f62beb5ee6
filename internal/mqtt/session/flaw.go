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

// flaw is what is wrong with a message that arrived whole and cannot be handled
// as it is. It is not thrown away: the broker would deliver it again, or it would
// be lost without a trace.
type flaw struct {
	skipped link.Skipped // of a packet over a limit
	over    error        // which; nil is none
	cut     bool         // user properties are missing
	text    error        // that is ill-formed; nil is none
	topic   string       // as it arrived, when its text is
}

// Oversize is the size in bytes of a packet over a limit, whose payload was
// skipped; 0 of any other. See [Inbound.OverLimit].
func (m *Inbound) Oversize() int {
	if m.flaw == nil {
		return 0
	}
	return m.flaw.skipped.Packet
}

// OverLimit says which limit the message is over; nil is none. Its payload was
// skipped, and it may not have all of its user properties.
func (m *Inbound) OverLimit() error {
	if m.flaw == nil {
		return nil
	}
	return m.flaw.over
}

// Cut reports whether user properties are missing, which were over a limit.
func (m *Inbound) Cut() bool { return m.flaw != nil && m.flaw.cut }

// Digest returns the SHA-256 of a payload that was skipped because the message is
// over a limit; nil when the payload is there.
func (m *Inbound) Digest() []byte {
	if m.Oversize() == 0 {
		return nil
	}
	return m.flaw.skipped.SHA256[:]
}

// Skipped is the size in bytes of such a payload; 0 when it is there.
func (m *Inbound) Skipped() int {
	if m.flaw == nil {
		return 0
	}
	return m.flaw.skipped.Payload
}

// IllFormed says what is wrong with the text of the packet; nil is nothing.
// Topic and Properties are then escaped, and name nothing that can be published
// to. No handler can do anything with such a message.
func (m *Inbound) IllFormed() error {
	if m.flaw == nil {
		return nil
	}
	return m.flaw.text
}

// bear makes m the form in which it can be kept.
func (m *Inbound) bear(f *flaw) {
	m.flaw = f
	if f.text == nil {
		return
	}
	f.topic = m.Topic
	m.Topic = wellFormedTopic(m.Topic)
	if p := m.Properties; p != nil {
		p.ContentType = wellFormed(p.ContentType)
		p.ResponseTopic = "" // a reply must not go to what only looks like it
		for i, u := range p.User {
			p.User[i] = UserProperty{wellFormed(u.Key), wellFormed(u.Value)}
		}
	}
}

// maxIllFormed is how many bytes of an ill-formed text are kept: escaped, a byte
// can be four, and whoever stores the text may know no more than 65,535.
const maxIllFormed = 8 << 10

// noTopic stands for a topic without a character.
const noTopic = `\empty`

// wellFormed escapes what a text may not contain.
func wellFormed(s string) string {
	if len(s) > maxIllFormed {
		s = s[:maxIllFormed]
	}
	return logsafe.Line(s)
}

// wellFormedTopic makes a topic name of s that has its levels and is not empty.
func wellFormedTopic(s string) string {
	if s == "" {
		return noTopic
	}
	return strings.NewReplacer("+", `\x2b`, "#", `\x23`).Replace(wellFormed(s))
}

// maxTexts is how many ill-formed messages are remembered. A broker that passes
// on more of them than that does not look at text.
const maxTexts = 8

// texts are the ill-formed messages that ended a connection, as the standard
// wants [MQTT-1.5.4-1]. A broker that keeps the session sends them again, before
// everything else: closing again would end every connection. Used by the read
// loop only.
type texts struct {
	seed maphash.Seed
	seen []uint64
}

// again reports whether an ill-formed message was met before, or too many others
// were.
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

// illFormed judges a PUBLISH that does not decode. It returns what is wrong with
// one that is taken all the same, and otherwise nil: the error ends the
// connection, and without one the message is dropped.
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

// named reports whether a message has this topic on the wire.
func (m *Inbound) named(topic []byte) bool {
	if m.flaw != nil && m.flaw.text != nil {
		return m.flaw.topic == bytesString(topic)
	}
	return m.Topic == bytesString(topic)
}
