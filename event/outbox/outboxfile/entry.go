package outboxfile

import (
	"encoding/binary"
	"errors"
	"math"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event/internal/record"
	"github.com/kratos-mqtt/kratos-mqtt/event/outbox"
)

// The body of a record starts with fields that are read without decoding the rest: the size (4
// bytes) and the time of acceptance (8 bytes, nanoseconds).
const fixed = 4 + 8

// encode returns the record of an entry. It has yet to be sealed with its key.
func encode(e *outbox.Entry, accepted time.Time) []byte {
	size := e.Size()
	b := record.New(fixed + size + 32 + 4*len(e.Headers))
	b = binary.BigEndian.AppendUint32(b, uint32(size))
	b = binary.BigEndian.AppendUint64(b, uint64(accepted.UnixNano()))
	b = record.AppendString(b, e.ID)
	b = record.AppendString(b, e.Key)
	b = record.AppendMessage(b, &e.Message)
	if e.RetryUnrouted > 0 { // earlier versions accept nothing after the message
		b = binary.AppendUvarint(b, uint64(e.RetryUnrouted))
	}
	return b
}

// decode decodes a record; the result is a copy.
func decode(key, rec []byte) (*outbox.Entry, error) {
	body, err := record.Open(key, rec)
	if err != nil {
		return nil, err
	}
	if len(body) < fixed || len(key) != 8 && len(key) != len(delayedKey{}) {
		return nil, record.ErrDamaged
	}
	r := record.NewReader(body[fixed:])
	e := &outbox.Entry{Accepted: acceptedOf(rec)}
	if len(key) == 8 {
		e.Seq = binary.BigEndian.Uint64(key)
	} else {
		k := delayedKey(key)
		e.Seq, e.Due = k.number(), time.UnixMilli(k.due())
	}
	e.ID, e.Key = r.String(), r.String()
	e.Message = r.Message()
	if r.More() {
		n := r.Uvarint()
		if n == 0 || n > math.MaxInt64 {
			return nil, record.ErrDamaged
		}
		e.RetryUnrouted = time.Duration(n)
	}
	if err := errors.Join(r.Err(), e.Validate()); err != nil {
		return nil, err
	}
	return e, nil
}

// sizeOf and acceptedOf read a record without checking it. They return zero if it is too
// short. A size is at most that of the record.
func sizeOf(rec []byte) int64 {
	if len(rec) < record.Head+fixed {
		return 0
	}
	return min(int64(binary.BigEndian.Uint32(rec[record.Head:])), int64(len(rec)))
}

func acceptedOf(rec []byte) time.Time {
	if len(rec) < record.Head+fixed {
		return time.Time{}
	}
	return time.Unix(0, int64(binary.BigEndian.Uint64(rec[record.Head+4:])))
}

// shareOf returns the key whose share of the quarantine a record uses; it is "" for records
// that are too damaged.
func shareOf(rec []byte) string {
	order, _ := orderOf(rec)
	return string(order)
}

// idOf returns the id of a record, without checking or copying it; nil if it is too short.
func idOf(rec []byte) []byte {
	if len(rec) < record.Head+fixed {
		return nil
	}
	return record.NewReader(rec[record.Head+fixed:]).Skip()
}

func keyOf(seq uint64) []byte { return binary.BigEndian.AppendUint64(nil, seq) }

// orderOf returns the order of a record, its key or else its topic, without checking or
// copying it.
func orderOf(rec []byte) ([]byte, bool) {
	if len(rec) < record.Head+fixed {
		return nil, false
	}
	r := record.NewReader(rec[record.Head+fixed:])
	r.Skip() // the id
	if key := r.Skip(); len(key) > 0 {
		return key, true
	}
	topic := r.SkipToTopic()
	return topic, len(topic) > 0
}
