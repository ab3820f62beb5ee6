package wire

import "encoding/binary"

// SetDup sets the DUP flag of a stored PUBLISH frame in place [MQTT-3.3.1-1].
// It leaves frames of other types and of QoS 0 unchanged [MQTT-3.3.1-2].
func SetDup(frame []byte) {
	if len(frame) > 0 && Type(frame[0]>>4) == TypePublish && frame[0]>>1&3 != 0 {
		frame[0] |= dupFlag
	}
}

// ClearDup clears the DUP flag of a stored PUBLISH frame in place, so that it
// can be published as a new message with a new packet identifier. It leaves
// frames of other types unchanged.
func ClearDup(frame []byte) {
	if len(frame) > 0 && Type(frame[0]>>4) == TypePublish {
		frame[0] &^= dupFlag
	}
}

// PacketIDOffset returns the offset of the packet identifier in frame, which
// must be a whole packet. It returns -1 if there is no packet identifier: for
// other types, for QoS 0 and for a frame that is too short.
func PacketIDOffset(frame []byte) int {
	h, ok, err := ParseHeader(frame)
	if err != nil || !ok {
		return -1
	}
	at := h.Size
	switch t := h.Type(); {
	case t == TypePublish:
		if h.First>>1&3 == 0 || len(frame) < at+2 {
			return -1
		}
		at += 2 + int(binary.BigEndian.Uint16(frame[at:]))
	case t < TypePuback || t > TypeUnsuback:
		return -1
	}
	if len(frame) < at+2 {
		return -1
	}
	return at
}

// PublishTopic returns the topic of a whole PUBLISH frame, as a view into it,
// and its RETAIN flag. For any other frame the topic is nil.
func PublishTopic(frame []byte) (topic []byte, retain bool) {
	h, ok, err := ParseHeader(frame)
	if err != nil || !ok || h.Type() != TypePublish || len(frame) < h.Size+2 {
		return nil, false
	}
	begin := h.Size + 2
	end := begin + int(binary.BigEndian.Uint16(frame[h.Size:]))
	if end > len(frame) {
		return nil, false
	}
	return frame[begin:end], h.First&1 != 0
}

// PatchPacketID writes id at offset, which [PacketIDOffset] returned, in place.
// It changes nothing and returns false if the offset is outside the frame or id
// is 0.
func PatchPacketID(frame []byte, offset int, id uint16) bool {
	if id == 0 || offset < 2 || offset > len(frame)-2 {
		return false
	}
	binary.BigEndian.PutUint16(frame[offset:], id)
	return true
}

// PacketID returns the packet identifier at offset, which [PacketIDOffset]
// returned, or 0 if the offset is outside the frame.
func PacketID(frame []byte, offset int) uint16 {
	if offset < 2 || offset > len(frame)-2 {
		return 0
	}
	return binary.BigEndian.Uint16(frame[offset:])
}

// connectHead is the size of the part of a CONNECT before its properties:
// protocol name and level, flags and keep-alive.
const connectHead = 2 + 4 + 1 + 1 + 2

// PatchReceiveMaximum sets the Receive Maximum of a whole MQTT 5 CONNECT to n,
// in place. It changes nothing and returns false if frame has no Receive
// Maximum.
func PatchReceiveMaximum(frame []byte, n uint16) bool {
	h, ok, err := ParseHeader(frame)
	if err != nil || !ok || h.Type() != TypeConnect || len(frame) < h.Size+connectHead {
		return false
	}
	body := cursor(frame[h.Size+connectHead:])
	all, err := body.properties(TypeConnect)
	for err == nil && len(all) > 0 {
		value := all[1:]
		p, ok := all.rawProperty()
		switch {
		case !ok:
			return false
		case p.id == propReceiveMaximum:
			binary.BigEndian.PutUint16(value, n)
			return true
		}
	}
	return false
}
