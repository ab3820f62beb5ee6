package deadletterfile

import (
	"encoding/binary"

	"github.com/kratos-mqtt/kratos-mqtt/event/deadletter"
	"github.com/kratos-mqtt/kratos-mqtt/event/internal/record"
)

// The body of a record starts with the state, so that counting does not decode the rest.
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

// stateOf returns the state in a record without checking it; 0 for an empty record.
func stateOf(rec []byte) byte {
	switch {
	case rec == nil:
		return 0
	case len(rec) > record.Head && rec[record.Head] == parkedByte:
		return parkedByte
	}
	return deadByte
}

// sizeOf returns the size of a record in the file, without overhead of bbolt.
func sizeOf(id, rec []byte) int64 { return int64(len(id) + len(rec)) }

// originOf returns the origin of the letter in a record without checking it. Damaged records
// share an origin of their own. It does not read the payload.
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
	replayed := l.Replayed.String()
	named := l.Operation+l.ErrorType+replayed != ""
	if !l.Until.IsZero() || l.Omitted != (deadletter.Omitted{}) || named { // not known to earlier versions
		b = binary.AppendVarint(record.AppendTime(b, l.Until), l.Omitted.Size)
		b = append(record.AppendString(b, l.Omitted.SHA256), moreByte(l.Omitted.More))
	}
	if named { // nor is this
		for _, s := range []string{l.Operation, l.ErrorType, replayed} {
			b = record.AppendString(b, s)
		}
	}
	record.Seal([]byte(l.ID), b)
	return b
}

// decode decodes a record. For a damaged one it returns a letter that contains the damaged
// data, for inspection.
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
	if r.More() {
		l.Operation, l.ErrorType = r.String(), r.String()
		if l.Replayed, err = deadletter.ParseReplayed(r.String()); err != nil {
			return nil, err
		}
	}
	return l, r.Err()
}
