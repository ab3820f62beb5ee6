package wire

import (
	"encoding/binary"
	"iter"
)

// AppendUser appends one user property in wire form, for [Properties.User]. It
// rejects a name or value that is not valid UTF-8, contains U+0000 or is longer
// than 65,535 bytes, and then returns dst unchanged. Order is kept and a name
// may occur more than once.
func AppendUser(dst []byte, key, value string) ([]byte, error) {
	if len(key) > MaxString || len(value) > MaxString {
		return dst, malformed(TypePublish, "section 1.5.4", "user property is longer than 65,535 bytes")
	}
	start := len(dst)
	dst = binary.BigEndian.AppendUint16(append(dst, propUser), uint16(len(key)))
	dst = append(dst, key...)
	keyEnd := len(dst)
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(value)))
	dst = append(dst, value...)
	if err := checkText(TypePublish, "user property name", dst[start+3:keyEnd]); err != nil {
		return dst[:start], err
	}
	if err := checkText(TypePublish, "user property value", dst[keyEnd+2:]); err != nil {
		return dst[:start], err
	}
	return dst, nil
}

// UserPairs iterates over the user properties in the order of the packet. The
// slices are views and must not be changed. The iteration ends at malformed
// bytes in User.
func (p *Properties) UserPairs() iter.Seq2[[]byte, []byte] {
	return func(yield func(key, value []byte) bool) {
		for c := cursor(p.User); len(c) > 0; {
			prop, ok := c.rawProperty()
			if !ok {
				return
			}
			if prop.id == propUser && !yield(prop.data, prop.value) {
				return
			}
		}
	}
}

// UserLen returns the number of user properties and their size on the wire in
// bytes, for comparison with limits: 5 bytes each plus name and value. It
// iterates over User.
func (p *Properties) UserLen() (count, size int) {
	for key, value := range p.UserPairs() {
		count++
		size += 5 + len(key) + len(value)
	}
	return count, size
}

// checkUser rejects bytes at which UserPairs would stop.
func (p *Properties) checkUser() error {
	for c := cursor(p.User); len(c) > 0; {
		if _, ok := c.rawProperty(); !ok {
			return malformed(TypePublish, sectionProperties, "user properties are not in wire form")
		}
	}
	return nil
}

// AppendKnown is like [AppendUser] but does not check the text.
func AppendKnown(dst []byte, key string, value []byte) []byte {
	dst = binary.BigEndian.AppendUint16(append(dst, propUser), uint16(len(key)))
	dst = binary.BigEndian.AppendUint16(append(dst, key...), uint16(len(value)))
	return append(dst, value...)
}

func appendPair(dst, key, value []byte) []byte {
	dst = binary.BigEndian.AppendUint16(append(dst, propUser), uint16(len(key)))
	dst = binary.BigEndian.AppendUint16(append(dst, key...), uint16(len(value)))
	return append(dst, value...)
}
