package session

import (
	"math"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/wire"
)

// encode appends the PUBLISH frame of m to dst. room is memory for the id.
func encode(dst []byte, m *Message, id uint16, v wire.Version, room []byte) ([]byte, error) {
	p := wire.Publish{
		QoS: m.QoS, Retain: m.Retain, PacketID: id,
		Topic: stringBytes(m.Topic), TopicChecked: true, Payload: m.Payload,
	}
	if v == wire.V311 {
		return p.Append(dst, v)
	}
	if m.ID != (ID{}) {
		p.Props.User = m.ID.property(room[:0])
	}
	if m.Properties != nil {
		if err := encodeProperties(&p.Props, m); err != nil {
			return dst, err
		}
	}
	return p.Append(dst, v)
}

func encodeProperties(to *wire.Properties, m *Message) (err error) {
	p := m.Properties
	to.ContentType = optional(p.ContentType)
	to.ResponseTopic = optional(p.ResponseTopic)
	to.CorrelationData = p.CorrelationData
	if p.Expiry > 0 {
		to.HasMessageExpiry = true
		to.MessageExpiry = wholeSeconds(m.left(p.Expiry))
	}
	for _, u := range p.User {
		if to.User, err = wire.AppendUser(to.User, u.Key, u.Value); err != nil {
			return err
		}
	}
	return nil
}

// wholeSeconds returns d in seconds as MQTT 5 counts them, rounded up so that a
// short time does not become 0.
func wholeSeconds(d time.Duration) uint32 {
	n := d / time.Second
	if d%time.Second > 0 {
		n++
	}
	return uint32(min(n, math.MaxUint32))
}

func optional(s string) []byte {
	if s == "" {
		return nil
	}
	return stringBytes(s)
}

// maxUser is the default limit of user properties that are kept of a message.
// An empty one takes 5 bytes of a packet and 32 in memory, and no application
// needs nearly as many.
const maxUser = 1024

// decodeProperties copies the properties that the handler may keep, including
// the user properties within the limits. It returns nil if there are none.
func decodeProperties(p *wire.Properties, l *bodyLimits) *Properties {
	if p.ContentType == nil && p.ResponseTopic == nil && p.CorrelationData == nil && !p.HasMessageExpiry && len(p.User) == 0 {
		return nil
	}
	out := &Properties{
		ContentType:     string(p.ContentType),
		ResponseTopic:   string(p.ResponseTopic),
		CorrelationData: append([]byte(nil), p.CorrelationData...),
	}
	if p.HasMessageExpiry {
		out.Expiry = time.Duration(p.MessageExpiry) * time.Second
	}
	if n := min(p.UserCount, l.headers); n > 0 {
		out.User = make([]UserProperty, 0, n)
	}
	bytes := 0
	for k, v := range p.UserPairs() {
		if bytes += len(k) + len(v); len(out.User) == l.headers || l.headerBytes > 0 && bytes > l.headerBytes {
			break
		}
		out.User = append(out.User, UserProperty{Key: string(k), Value: string(v)})
	}
	return out
}
