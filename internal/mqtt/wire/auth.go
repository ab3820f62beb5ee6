package wire

import (
	"bytes"
	"encoding/binary"
)

// Auth is an AUTH packet of MQTT 5 (section 3.15).
type Auth struct {
	// Reason is the reason code: success, continue or re-authenticate.
	Reason byte
	// Method is the authentication method, or "" if absent.
	Method string
	// Data is the authentication data, or nil if absent.
	Data []byte
}

// Decode reads the body of an AUTH packet from a server: its reason code
// [MQTT-3.15.2-1] and its properties. It replaces every field of a and copies
// strings and data.
func (a *Auth) Decode(body []byte) error {
	*a = Auth{}
	c := cursor(body)
	code, ok := c.byte()
	if !ok {
		return nil // an empty body means success without properties
	}
	if err := checkCode(TypeAuth, code); err != nil {
		return err
	}
	a.Reason = code
	if len(c) == 0 {
		return nil
	}
	props, err := c.properties(TypeAuth)
	if err != nil {
		return err
	}
	if len(c) > 0 {
		return malformed(TypeAuth, "section 2.1.4", "bytes after the properties")
	}
	var seen uint64
	for len(props) > 0 {
		p, err := props.property(TypeAuth, &seen)
		if err != nil {
			return err
		}
		switch p.id {
		case propAuthMethod:
			a.Method = string(p.data)
		case propAuthData:
			a.Data = bytes.Clone(p.data)
		}
	}
	return nil
}

// Append appends the packet to dst. Method and Data must not be longer than
// [MaxString] bytes; Data is omitted if it is nil.
func (a *Auth) Append(dst []byte) []byte {
	props := 3 + len(a.Method)
	if a.Data != nil {
		props += 3 + len(a.Data)
	}
	size := binary.AppendUvarint(nil, uint64(props))
	dst = binary.AppendUvarint(append(dst, byte(TypeAuth)<<4), uint64(1+len(size)+props))
	dst = append(append(dst, a.Reason), size...)
	dst = binary.BigEndian.AppendUint16(append(dst, propAuthMethod), uint16(len(a.Method)))
	dst = append(dst, a.Method...)
	if a.Data != nil {
		dst = binary.BigEndian.AppendUint16(append(dst, propAuthData), uint16(len(a.Data)))
		dst = append(dst, a.Data...)
	}
	return dst
}
