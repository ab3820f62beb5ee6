package broker

import (
	"encoding/binary"
	"math"
	"time"
)

// recordType is the first byte of a record of the journal. Numbers in a record are unsigned
// varints; strings and bytes are preceded by their length.
type recordType byte

const (
	recordSession     recordType = iota + 1 // number, client id, version, expiry, when left (0: connected)
	recordEnd                               // session
	recordSubscribe                         // session, subscription id, options, filter
	recordUnsubscribe                       // session, filter
	recordMessage                           // number, expires (ns), expiry, flags, topic, from, properties, payload
	recordQueue                             // session, delivery, message, flags, group, subscription ids
	recordSent                              // delivery, packet id, state
	recordDone                              // delivery
	recordReceived                          // session, packet id
	recordReleased                          // session, packet id
	recordRetain                            // message
	recordForget                            // topic
)

// The flags of messages and deliveries are their QoS and this.
const retainFlag = 4

func appendNumber(b []byte, t recordType, numbers ...uint64) []byte {
	b = append(b, byte(t))
	for _, n := range numbers {
		b = binary.AppendUvarint(b, n)
	}
	return b
}

func appendString[T string | []byte](b []byte, s T) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

func flagsOf(qos byte, retain bool) uint64 {
	if retain {
		return uint64(qos) | retainFlag
	}
	return uint64(qos)
}

func (s *session) appendRecord(b []byte) []byte {
	var left uint64
	if s.conn == nil {
		left = uint64(s.left.Unix())
	}
	b = appendNumber(b, recordSession, s.number)
	b = appendString(b, s.id)
	b = append(b, s.version)
	return binary.AppendUvarint(binary.AppendUvarint(b, uint64(s.expiry)), left)
}

func (sub *subscription) appendRecord(b []byte) []byte {
	var id uint64
	if len(sub.ids) > 0 {
		id = uint64(sub.ids[0])
	}
	options := uint64(sub.qos) | uint64(sub.retainHandling)<<4
	if sub.noLocal {
		options |= 4
	}
	if sub.retainAsPublished {
		options |= 8
	}
	return appendString(appendNumber(b, recordSubscribe, sub.session.number, id, options), sub.filter)
}

func (s *session) appendQueued(b []byte, d *delivery) []byte {
	group := ""
	if d.group != nil {
		group = d.group.filter
	}
	b = appendNumber(b, recordQueue, s.number, d.number, d.msg.number, flagsOf(d.qos, d.retain))
	b = binary.AppendUvarint(appendString(b, group), uint64(len(d.ids)))
	for _, id := range d.ids {
		b = binary.AppendUvarint(b, uint64(id))
	}
	return b
}

// frameWriter splits records into frames.
type frameWriter struct {
	b     []byte
	begin int // of the frame that is open
}

func (w *frameWriter) add(encode func([]byte) []byte) {
	if len(w.b) == w.begin {
		w.b = append(w.b, make([]byte, frameHeader)...)
	}
	if w.b = encode(w.b); len(w.b)-w.begin > frameSize {
		w.end()
	}
}

func (w *frameWriter) end() []byte {
	if len(w.b) > w.begin {
		seal(w.b[w.begin:])
		w.begin = len(w.b)
	}
	return w.b
}

// reader reads fields from the front of a record. After the first missing field it returns
// zero values and sets bad.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) number() uint64 {
	n, size := binary.Uvarint(r.b)
	if size <= 0 {
		r.bad, r.b = true, nil
		return 0
	}
	r.b = r.b[size:]
	return n
}

// small reads a number of at most limit.
func (r *reader) small(limit uint64) uint64 {
	n := r.number()
	if n > limit {
		r.bad = true
		return 0
	}
	return n
}

func (r *reader) bytes() []byte {
	n := r.number()
	if n > uint64(len(r.b)) {
		r.bad, r.b = true, nil
		return nil
	}
	taken := r.b[:n:n]
	r.b = r.b[n:]
	return taken
}

func (r *reader) string() string { return string(r.bytes()) }

func (r *reader) byte() byte {
	if len(r.b) == 0 {
		r.bad = true
		return 0
	}
	first := r.b[0]
	r.b = r.b[1:]
	return first
}

// time reads the time at which a message expires, or the zero time.
func (r *reader) time() (t time.Time) {
	if n := r.small(math.MaxInt64); n > 0 {
		t = time.Unix(0, int64(n))
	}
	return t
}
