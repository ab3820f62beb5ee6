package session

import (
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/wire"
)

// aliases replaces topics that are sent again on the same connection by
// two-byte topic aliases [MQTT-3.3.2.3.4]. Stored frames are not changed,
// because an alias is valid for one connection only. Not safe for concurrent
// use.
type aliases struct {
	known map[string]uint16
	limit int // 0 turns aliases off
	most  int // size limit of a packet in bytes; 0 means no limit
	buf   []byte
}

// reset starts a connection to a broker that accepts limit aliases and packets
// of most bytes.
func (a *aliases) reset(limit, most int) {
	a.known, a.limit, a.most = nil, limit, most
	if limit > 0 {
		a.known = make(map[string]uint16)
	}
}

// shorten returns the frame to send in place of a stored one, and a function to
// call once it is queued. It returns large frames unchanged, which are not
// copied on their way, and frames that the definition of an alias would make
// too large for the broker [MQTT-3.2.2-15].
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
		return frame, nil // all aliases are in use
	}
	p.Props.TopicAlias = alias
	if a.buf, err = p.Append(a.buf[:0], wire.V5); err != nil || a.most > 0 && len(a.buf) > a.most {
		return frame, nil
	}
	return a.buf, sent
}
