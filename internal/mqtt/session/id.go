package session

import (
	"encoding/binary"
	"encoding/hex"
	"math/rand/v2"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/wire"
)

// ID is a UUIDv7 [RFC 9562 section 5.7] that identifies a message on its whole
// way. The zero value means no id.
type ID [16]byte

// NewID returns a new id. It neither locks nor allocates, because a publish of
// ready bytes costs little more than that. Ids must be unique, not secret, for
// which the runtime's generator, seeded by the system, suffices.
func NewID() (id ID) {
	now := uint64(time.Now().UnixMilli())
	binary.BigEndian.PutUint64(id[:8], now<<16|0x7000|rand.Uint64()>>52)
	binary.BigEndian.PutUint64(id[8:], 1<<63|rand.Uint64()>>2)
	return id
}

// idText is the length of an id in its text form.
const idText = 36

// String returns the usual text form of a UUID.
func (id ID) String() string {
	var text [idText]byte
	id.encode(&text)
	return string(text[:])
}

func (id *ID) encode(to *[idText]byte) {
	hex.Encode(to[:8], id[:4])
	hex.Encode(to[9:13], id[4:6])
	hex.Encode(to[14:18], id[6:8])
	hex.Encode(to[19:23], id[8:10])
	hex.Encode(to[24:], id[10:])
	to[8], to[13], to[18], to[23] = '-', '-', '-', '-'
}

// idProperty is the user property that contains the id of a message.
const idProperty = "id"

// idProperty5 is the size of the property on the wire.
const idProperty5 = 1 + 2 + len(idProperty) + 2 + idText

// property appends the user property in wire form.
func (id *ID) property(dst []byte) []byte {
	var text [idText]byte
	id.encode(&text)
	return wire.AppendKnown(dst, idProperty, text[:])
}
