package wire

import "encoding/binary"

// SetDup marks a kept PUBLISH frame as possibly sent before, in place
// [MQTT-3.3.1-1]. Frames of other types and of QoS 0 stay as they are
// [MQTT-3.3.1-2].
func SetDup(frame []byte) {
	if len(frame) > 0 && Type(frame[0]>>4) == TypePublish && frame[0]>>1&3 != 0 {
		frame[0] |= dupFlag
	}
}

// ClearDup makes a kept PUBLISH frame a new message again, in place, for
// publishing it under a new packet identifier. Frames of other types stay as
// they are.
func ClearDup(frame []byte) {
	if len(frame) > 0 && Type(frame[0]>>4) == TypePublish {
		frame[0] &^= dupFlag
	}
}

// PacketIDOffset returns where the packet identifier starts in frame, a whole
// packet, or -1 when it has none: other types, QoS 0, or a frame too short.
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

// PublishTopic returns the topic of a whole PUBLISH, which lies in the frame, and
// whether it is to be retained; nil for any other frame.
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

// PatchPacketID writes id at offset, as [PacketIDOffset] gave it, in place.
// It does nothing and returns false when the offset is not within the frame
// or id is 0.
func PatchPacketID(frame []byte, offset int, id uint16) bool {
	if id == 0 || offset < 2 || offset > len(frame)-2 {
		return false
	}
	binary.BigEndian.PutUint16(frame[offset:], id)
	return true
}

// PacketID returns the packet identifier at offset, as [PacketIDOffset] gave
// it, or 0 when the offset is not within the frame.
func PacketID(frame []byte, offset int) uint16 {
	if offset < 2 || offset > len(frame)-2 {
		return 0
	}
	return binary.BigEndian.Uint16(frame[offset:])
}
