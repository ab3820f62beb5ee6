package broker

import (
	"encoding/binary"
	"math"
	"time"
)

// recordType begins a record of the journal. Numbers in a record are unsigned
// varints, strings and bytes begin with their length.
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

// Flags of messages and deliveries are their QoS and this.
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

// note appends a record to the journal if there is one. The broker's mutex is
// held.
func (b *Broker) note(t recordType, numbers ...uint64) {
	if b.journal != nil {
		b.journal.append(func(p []byte) []byte { return appendNumber(p, t, numbers...) })
	}
}

func flagsOf(qos byte, retain bool) uint64 {
	if retain {
		return uint64(qos) | retainFlag
	}
	return uint64(qos)
}

// note keeps a session that outlives its connection, with its present
// expiry and connection.
func (s *session) note() {
	j := s.b.journal
	if j == nil || (s.expiry == 0 && s.number == 0) {
		return
	}
	if s.number == 0 {
		s.b.numbers++
		s.number = s.b.numbers
	}
	j.append(s.appendRecord)
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

func (s *session) noteEnd() {
	if s.number != 0 {
		s.b.note(recordEnd, s.number)
		s.number = 0
	}
}

func (sub *subscription) note() {
	if s := sub.session; s.number != 0 && s.b.journal != nil {
		s.b.journal.append(sub.appendRecord)
	}
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

func (sub *subscription) noteLeave() {
	if s := sub.session; s.number != 0 && s.b.journal != nil {
		s.b.journal.append(func(b []byte) []byte {
			return appendString(appendNumber(b, recordUnsubscribe, s.number), sub.filter)
		})
	}
}

// appendMessage encodes a message unless the present file has it.
func (b *Broker) appendMessage(p []byte, m *message) []byte {
	if m.generation == b.generation {
		return p
	}
	m.generation = b.generation
	if m.number == 0 {
		b.numbers++
		m.number = b.numbers
	}
	var expires uint64
	if !m.expires.IsZero() {
		expires = uint64(m.expires.UnixNano())
	}
	p = appendNumber(p, recordMessage, m.number, expires, uint64(m.expiry), flagsOf(m.qos, m.retain))
	p = appendString(p, m.topic)
	p = appendString(p, m.from)
	p = appendString(p, m.props)
	return appendString(p, m.payload)
}

// noteQueued keeps a delivery of a session that is kept.
func (s *session) noteQueued(d *delivery) {
	if s.number == 0 || s.b.journal == nil {
		return
	}
	s.b.numbers++
	d.number = s.b.numbers
	s.b.journal.append(func(b []byte) []byte { return s.appendQueued(s.b.appendMessage(b, d.msg), d) })
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

// noteState keeps what a delivery became.
func (b *Broker) noteState(d *delivery) {
	switch {
	case d.number == 0:
	case d.state == done:
		b.note(recordDone, d.number)
	default:
		b.note(recordSent, d.number, uint64(d.id), uint64(d.state))
	}
}

// noteReceived keeps that a QoS 2 message of the client was taken, or that the
// client released it.
func (s *session) noteReceived(t recordType, id uint16) {
	if s.number != 0 {
		s.b.note(t, s.number, uint64(id))
	}
}

func (b *Broker) noteRetained(m *message) {
	if b.journal == nil {
		return
	}
	b.journal.append(func(p []byte) []byte {
		if len(m.payload) == 0 {
			return appendString(appendNumber(p, recordForget), m.topic)
		}
		return appendNumber(b.appendMessage(p, m), recordRetain, m.number)
	})
}

// frames encodes the whole state. The broker's mutex is held.
func (b *Broker) frames() []byte {
	b.generation++
	w := &frameWriter{}
	for _, m := range b.retained {
		w.add(func(p []byte) []byte { return appendNumber(b.appendMessage(p, m), recordRetain, m.number) })
	}
	for _, s := range b.sessions {
		if s.expiry == 0 {
			continue
		}
		if s.number == 0 {
			b.numbers++
			s.number = b.numbers
		}
		w.add(s.appendRecord)
		for _, sub := range s.subs {
			w.add(sub.appendRecord)
		}
		for id := range s.received {
			w.add(func(p []byte) []byte { return appendNumber(p, recordReceived, s.number, uint64(id)) })
		}
		s.out.each(func(d *delivery) {
			if d.number == 0 {
				b.numbers++
				d.number = b.numbers
			}
			w.add(func(p []byte) []byte {
				p = s.appendQueued(b.appendMessage(p, d.msg), d)
				if d.state != queued {
					p = appendNumber(p, recordSent, d.number, uint64(d.id), uint64(d.state))
				}
				return p
			})
		})
	}
	return w.end()
}

// frameWriter cuts records into frames.
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

// reader takes fields off the front of a record. After the first one that is not
// there it returns zero values, and bad.
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

// small is a number of at most limit.
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

// time is a point in time that a message expires, or none.
func (r *reader) time() (t time.Time) {
	if n := r.small(math.MaxInt64); n > 0 {
		t = time.Unix(0, int64(n))
	}
	return t
}
