package deadletterfile

import (
	"encoding/binary"

	"github.com/kratos-mqtt/kratos-mqtt/event/deadletter"
	"github.com/kratos-mqtt/kratos-mqtt/event/internal/record"
)

// The body of a letter begins with its state, so that counting decodes no more.
const (
	deadByte   = 'd'
	parkedByte = 'p'
)

func stateByte(s deadletter.State) byte {
	if s == deadletter.Parked {
		return parkedByte
	}
	return deadByte
}

func moreByte(more bool) byte {
	if more {
		return 1
	}
	return 0
}

// stateOf is the state of a record, unchecked; 0 for no record.
func stateOf(rec []byte) byte {
	switch {
	case rec == nil:
		return 0
	case len(rec) > record.Head && rec[record.Head] == parkedByte:
		return parkedByte
	}
	return deadByte
}

// sizeOf is what a record takes in the file, as far as it is known here.
func sizeOf(id, rec []byte) int64 { return int64(len(id) + len(rec)) }

// originOf is the origin of the letter in a record, unchecked; what is damaged has
// one of its own. It reads no payload.
func originOf(rec []byte) string {
	if len(rec) < record.Head {
		return ""
	}
	r := record.NewReader(rec[record.Head:])
	r.Byte()
	r.Time()
	r.Time()
	r.Varint()
	r.Skip() // event id
	l := deadletter.Letter{Filter: r.String()}
	for range 4 { // key, owner, service, reason
		r.Skip()
	}
	l.Topic = string(r.SkipToTopic())
	return l.Origin()
}

func encode(l *deadletter.Letter) []byte {
	b := append(record.New(256+len(l.Payload)), stateByte(l.State))
	b = record.AppendTime(record.AppendTime(b, l.Received), l.Time)
	b = binary.AppendVarint(b, int64(l.Attempts))
	for _, s := range []string{l.EventID, l.Filter, l.Key, l.Owner, l.Service, l.Reason} {
		b = record.AppendString(b, s)
	}
	b = record.AppendMessage(b, &l.Message)
	if !l.Until.IsZero() || l.Omitted != (deadletter.Omitted{}) { // which earlier versions do not know
		b = binary.AppendVarint(record.AppendTime(b, l.Until), l.Omitted.Size)
		b = append(record.AppendString(b, l.Omitted.SHA256), moreByte(l.Omitted.More))
	}
	record.Seal([]byte(l.ID), b)
	return b
}

// decode reads a record. One that is damaged is still a letter: it holds what
// there is, for a person to look at.
func decode(key, rec []byte) *deadletter.Letter {
	l, err := decodeWhole(key, rec)
	if err == nil {
		return l
	}
	l = &deadletter.Letter{ID: string(key), State: deadletter.Dead, Reason: "letter cannot be read: " + err.Error()}
	l.Payload = append([]byte(nil), rec...)
	return l
}

func decodeWhole(key, rec []byte) (*deadletter.Letter, error) {
	body, err := record.Open(key, rec)
	if err != nil {
		return nil, err
	}
	r := record.NewReader(body)
	l := &deadletter.Letter{ID: string(key), State: deadletter.Dead}
	if r.Byte() == parkedByte {
		l.State = deadletter.Parked
	}
	l.Received, l.Time = r.Time(), r.Time()
	l.Attempts = int(r.Varint())
	for _, s := range []*string{&l.EventID, &l.Filter, &l.Key, &l.Owner, &l.Service, &l.Reason} {
		*s = r.String()
	}
	l.Message = r.Message()
	if r.More() {
		l.Until = r.Time()
		l.Omitted = deadletter.Omitted{Size: r.Varint(), SHA256: r.String(), More: r.Byte() != 0}
	}
	return l, r.Err()
}
