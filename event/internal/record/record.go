// Package record implements the binary format in which the file stores of package event keep
// messages: a version, a checksum that also covers the key, and compact fields. A record that
// was changed on disk is detected.
package record

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event/message"
)

// Head is the number of bytes before the body of a record: the version and the checksum.
const Head = 1 + 4

const version = 1

// ErrDamaged is the error of a record that was changed.
var ErrDamaged = errors.New("record is damaged")

// New returns a record without a body, with capacity for size more bytes. Append the body to
// it.
func New(size int) []byte { return make([]byte, Head, Head+size) }

// Seal completes a record whose body and key are final.
func Seal(key, rec []byte) {
	rec[0] = version
	binary.BigEndian.PutUint32(rec[1:], sum(key, rec))
}

// Open returns the body of an intact record.
func Open(key, rec []byte) ([]byte, error) {
	switch {
	case len(rec) < Head:
		return nil, fmt.Errorf("%w: %d bytes", ErrDamaged, len(rec))
	case binary.BigEndian.Uint32(rec[1:]) != sum(key, rec):
		return nil, fmt.Errorf("%w: checksum", ErrDamaged)
	case rec[0] != version:
		return nil, fmt.Errorf("record has version %d, this program reads %d", rec[0], version)
	}
	return rec[Head:], nil
}

func sum(key, rec []byte) uint32 {
	table := crc32.MakeTable(crc32.Castagnoli) // returns the same table each time
	c := crc32.Update(0, table, key)
	c = crc32.Update(c, table, rec[:1])
	return crc32.Update(c, table, rec[Head:])
}

// AppendString appends the length of a text or bytes, and then the content.
func AppendString[T string | []byte](b []byte, s T) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

const (
	qosBits   = 0x03
	retainBit = 0x04
)

// AppendMessage appends a message, with its payload last.
func AppendMessage(b []byte, m *message.Message) []byte {
	flags := m.QoS & qosBits
	if m.Retain {
		flags |= retainBit
	}
	b = append(b, flags)
	b = binary.AppendVarint(b, int64(m.Expiry))
	b = AppendString(b, m.Topic)
	b = AppendString(b, m.ContentType)
	b = AppendString(b, m.ResponseTopic)
	b = AppendString(b, m.CorrelationData)
	b = binary.AppendUvarint(b, uint64(len(m.Headers)))
	for _, h := range m.Headers {
		b = AppendString(AppendString(b, h.Key), h.Value)
	}
	return AppendString(b, m.Payload)
}

// Reader reads fields one after another. After the first error all fields are zero. Results
// are copies unless stated otherwise.
type Reader struct {
	b   []byte
	err error
}

// NewReader returns a reader of b.
func NewReader(b []byte) *Reader { return &Reader{b: b} }

// Err returns the first error, or an error if something is left unread.
func (r *Reader) Err() error {
	if r.err == nil && len(r.b) > 0 {
		return fmt.Errorf("%w: %d bytes too many", ErrDamaged, len(r.b))
	}
	return r.err
}

func (r *Reader) fail() {
	r.b = nil
	if r.err == nil {
		r.err = fmt.Errorf("%w: too short", ErrDamaged)
	}
}

// More reports whether something is left to read.
func (r *Reader) More() bool { return r.err == nil && len(r.b) > 0 }

// Byte reads one byte.
func (r *Reader) Byte() byte {
	if len(r.b) == 0 {
		r.fail()
		return 0
	}
	c := r.b[0]
	r.b = r.b[1:]
	return c
}

// Uvarint reads an unsigned number.
func (r *Reader) Uvarint() uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.fail()
		return 0
	}
	r.b = r.b[n:]
	return v
}

// Varint reads a signed number.
func (r *Reader) Varint() int64 {
	v, n := binary.Varint(r.b)
	if n <= 0 {
		r.fail()
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *Reader) raw() []byte {
	n := r.Uvarint()
	if n > uint64(len(r.b)) {
		r.fail()
		return nil
	}
	s := r.b[:n]
	r.b = r.b[n:]
	return s
}

// Skip reads a text or bytes and returns them without copying.
func (r *Reader) Skip() []byte { return r.raw() }

// SkipToTopic reads the topic of a message written by AppendMessage, and returns it without
// copying.
func (r *Reader) SkipToTopic() []byte {
	r.Byte()
	r.Varint()
	return r.raw()
}

// String reads a text.
func (r *Reader) String() string { return string(r.raw()) }

// Bytes reads bytes; it returns nil if there are none.
func (r *Reader) Bytes() []byte {
	s := r.raw()
	if len(s) == 0 {
		return nil
	}
	return append(make([]byte, 0, len(s)), s...)
}

// SkipRest reads everything that is left and returns it without copying.
func (r *Reader) SkipRest() []byte {
	s := r.b
	r.b = nil
	return s
}

// Rest reads everything that is left.
func (r *Reader) Rest() []byte {
	s := append([]byte(nil), r.b...)
	r.b = nil
	return s
}

// Message reads a message written by AppendMessage.
func (r *Reader) Message() (m message.Message) {
	flags := r.Byte()
	m.QoS, m.Retain = flags&qosBits, flags&retainBit != 0
	if flags&^(qosBits|retainBit) != 0 || m.QoS > 2 {
		r.fail()
	}
	m.Expiry = time.Duration(r.Varint())
	m.Topic = r.String()
	m.ContentType = r.String()
	m.ResponseTopic = r.String()
	m.CorrelationData = r.Bytes()
	n := r.Uvarint()
	if n > uint64(len(r.b))/2 { // each header takes at least two bytes
		r.fail()
		n = 0
	}
	if n > 0 {
		m.Headers = make([]message.Header, n)
	}
	for i := range m.Headers {
		m.Headers[i] = message.Header{Key: r.String(), Value: r.String()}
	}
	m.Payload = r.Bytes()
	return m
}

// AppendTime appends a time with nanosecond precision; the zero time is preserved.
func AppendTime(b []byte, t time.Time) []byte {
	if t.IsZero() {
		return append(b, 0)
	}
	return binary.AppendVarint(append(b, 1), t.UnixNano())
}

// Time reads a time written by AppendTime.
func (r *Reader) Time() time.Time {
	if r.Byte() == 0 {
		return time.Time{}
	}
	return time.Unix(0, r.Varint())
}
