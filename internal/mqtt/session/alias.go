package session

import (
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/wire"
)

// aliases shorten topics that are sent again on the same connection to two
// bytes [MQTT-3.3.2.3.4]. Kept frames stay whole, because an alias means
// nothing on another connection. Not safe for concurrent use.
type aliases struct {
	known map[string]uint16
	limit int // 0 is off
	most  int // bytes that a packet may have, 0 is no limit
	buf   []byte
}

// reset begins a connection whose broker accepts this many, and packets of this
// size in bytes.
func (a *aliases) reset(limit, most int) {
	a.known, a.limit, a.most = nil, limit, most
	if limit > 0 {
		a.known = make(map[string]uint16)
	}
}

// shorten returns the frame to send in the place of a kept one, and what to call
// once it is queued. Large frames, which are not copied on their way, stay as
// they are, and so do those that naming the alias would make too large for the
// broker [MQTT-3.2.2-15].
func (a *aliases) shorten(frame []byte) (short []byte, sent func()) {
	if a.limit == 0 || len(frame) >= straightThrough {
		return frame, nil
	}
	h, ok, err := wire.ParseHeader(frame)
	if err != nil || !ok || h.Type() != wire.TypePublish {
		return frame, nil
	}
	var p wire.Publish
	if p.Decode(wire.V5, h.First, frame[h.Size:]) != nil || len(p.Topic) == 0 {
		return frame, nil
	}
	name := string(p.Topic)
	alias, known := a.known[name]
	switch {
	case known:
		p.Topic = nil
	case len(a.known) < a.limit:
		alias = uint16(len(a.known) + 1)
		sent = func() { a.known[name] = alias }
	default:
		return frame, nil // all are taken
	}
	p.Props.TopicAlias = alias
	if a.buf, err = p.Append(a.buf[:0], wire.V5); err != nil || a.most > 0 && len(a.buf) > a.most {
		return frame, nil
	}
	return a.buf, sent
}
