package wire

import (
	"errors"
	"fmt"
	"strings"
)

// frameCase is one frame of the corpus that tests, fuzz seeds and benchmarks
// share. rule is the rule that the frame breaks, or "" for a valid one.
type frameCase struct {
	name  string
	v     Version
	frame string
	rule  string
}

// packet returns body with a fixed header in front.
func packet(first byte, body string) string {
	return string(appendLength([]byte{first}, len(body))) + body
}

// pub5 returns an MQTT 5 PUBLISH with QoS 0 to "t" and the given properties.
func pub5(props string) string {
	return packet(0x30, "\x00\x01t"+string(appendLength(nil, len(props)))+props+"x")
}

// connack5 returns a successful MQTT 5 CONNACK with the given properties.
func connack5(props string) string {
	return packet(0x20, "\x00\x00"+string(appendLength(nil, len(props)))+props)
}

const allPublishProps = "\x01\x01" + "\x02\x00\x00\x00\x0a" + "\x03\x00\x02ct" + "\x08\x00\x02rt" +
	"\x09\x00\x02cd" + "\x0b\x01" + "\x23\x00\x05" + "\x26\x00\x01k\x00\x01v" + "\x0b\x80\x01" + "\x26\x00\x01k\x00\x01w"

const allConnackProps = "\x11\x00\x00\x00\x3c" + "\x12\x00\x02id" + "\x13\x00\x0a" + "\x15\x00\x01m" + "\x16\x00\x01d" +
	"\x1a\x00\x01r" + "\x1c\x00\x03srv" + "\x1f\x00\x02ok" + "\x21\x00\x14" + "\x22\x00\x05" + "\x24\x01" + "\x25\x00" +
	"\x26\x00\x01k\x00\x01v" + "\x27\x00\x10\x00\x00" + "\x28\x00" + "\x29\x00" + "\x2a\x00"

func corpus() []frameCase {
	return append(append(publishCorpus(), ackCorpus()...), controlCorpus()...)
}

func publishCorpus() []frameCase {
	return []frameCase{
		{"publish 3.1.1 qos 0", V311, packet(0x30, "\x00\x03a/bhello"), ""},
		{"publish 3.1.1 qos 1", V311, packet(0x32, "\x00\x03a/b\x00\x07hello"), ""},
		{"publish 3.1.1 qos 2 dup retain", V311, packet(0x3D, "\x00\x03a/b\x80\x01hello"), ""},
		{"publish 3.1.1 empty payload", V311, packet(0x31, "\x00\x03a/b"), ""},
		{"publish 3.1.1 non-ascii topic", V311, packet(0x30, "\x00\x06gr\u00fc\u00dfx"), ""},
		{"publish 3.1.1 long", V311, packet(0x30, "\x00\x01t"+strings.Repeat("x", 20_000)), ""},
		{"publish 3.1.1 qos 3", V311, packet(0x36, "\x00\x03a/b\x00\x07"), "MQTT-3.3.1-4"},
		{"publish 3.1.1 dup qos 0", V311, packet(0x38, "\x00\x03a/b"), "MQTT-3.3.1-2"},
		{"publish 3.1.1 id 0", V311, packet(0x32, "\x00\x03a/b\x00\x00"), "MQTT-2.2.1-4"},
		{"publish 3.1.1 no id", V311, packet(0x32, "\x00\x03a/b\x00"), "section 2.1.4"},
		{"publish 3.1.1 topic too long", V311, packet(0x30, "\x00\x04a/b"), "section 2.1.4"},
		{"publish 3.1.1 no topic", V311, packet(0x30, "\x00"), "section 2.1.4"},
		{"publish 3.1.1 empty topic", V311, packet(0x30, "\x00\x00x"), "MQTT-4.7.3-1"},
		{"publish 3.1.1 wildcard +", V311, packet(0x30, "\x00\x03a/+"), "MQTT-3.3.2-2"},
		{"publish 3.1.1 wildcard #", V311, packet(0x30, "\x00\x03a/#"), "MQTT-3.3.2-2"},
		{"publish 3.1.1 NUL", V311, packet(0x30, "\x00\x03a\x00b"), "MQTT-1.5.4-2"},
		{"publish 3.1.1 bad UTF-8", V311, packet(0x30, "\x00\x02\xc3\x28"), "MQTT-1.5.4-1"},
		{"publish 3.1.1 surrogate", V311, packet(0x30, "\x00\x03\xed\xa0\x80"), "MQTT-1.5.4-1"},
		{"publish 3.1.1 overlong UTF-8", V311, packet(0x30, "\x00\x02\xc0\xaf"), "MQTT-1.5.4-1"},
		{"publish 5 bare", V5, pub5(""), ""},
		{"publish 5 qos 1", V5, packet(0x32, "\x00\x03a/b\x00\x07\x00hello"), ""},
		{"publish 5 all properties", V5, pub5(allPublishProps), ""},
		{"publish 5 alias without topic", V5, packet(0x30, "\x00\x00\x03\x23\x00\x01x"), ""},
		{"publish 5 empty content type", V5, pub5("\x03\x00\x00"), ""},
		{"publish 5 empty correlation data", V5, pub5("\x09\x00\x00"), ""},
		{"publish 5 expiry 0", V5, pub5("\x02\x00\x00\x00\x00"), ""},
		{"publish 5 binary correlation data", V5, pub5("\x09\x00\x02\x00\xff"), ""},
		{"publish 5 ten subscription ids", V5, pub5(strings.Repeat("\x0b\x07", 10)), ""},
		{"publish 5 many user properties", V5, pub5(strings.Repeat("\x26\x00\x03key\x00\x05value", 30)), ""},
		{"publish 5 empty topic without alias", V5, packet(0x30, "\x00\x00\x00x"), "MQTT-4.7.3-1"},
		{"publish 5 wildcard", V5, packet(0x30, "\x00\x01#\x00x"), "MQTT-3.3.2-2"},
		{"publish 5 no properties", V5, packet(0x30, "\x00\x01t"), "MQTT-1.5.5-1"},
		{"publish 5 property length too long", V5, packet(0x30, "\x00\x01t\x05\x01"), "section 2.1.4"},
		{"publish 5 property length overlong", V5, packet(0x30, "\x00\x01t\x80\x00x"), "MQTT-1.5.5-1"},
		{"publish 5 property length of five bytes", V5, packet(0x30, "\x00\x01t\xff\xff\xff\xff\x01"), "MQTT-1.5.5-1"},
		{"publish 5 unknown property", V5, pub5("\x04\x00"), "section 2.2.2.2"},
		{"publish 5 property id above 127", V5, pub5("\x81\x00\x00"), "section 2.2.2.2"},
		{"publish 5 property of CONNACK", V5, pub5("\x21\x00\x01"), "section 2.2.2.2"},
		{"publish 5 repeated format", V5, pub5("\x01\x00\x01\x00"), "section 2.2.2.2"},
		{"publish 5 repeated expiry", V5, pub5("\x02\x00\x00\x00\x01\x02\x00\x00\x00\x01"), "section 2.2.2.2"},
		{"publish 5 repeated content type", V5, pub5("\x03\x00\x00\x03\x00\x00"), "section 2.2.2.2"},
		{"publish 5 repeated alias", V5, pub5("\x23\x00\x01\x23\x00\x01"), "section 2.2.2.2"},
		{"publish 5 format 2", V5, pub5("\x01\x02"), "section 3.3.2.3.2"},
		{"publish 5 alias 0", V5, pub5("\x23\x00\x00"), "MQTT-3.3.2-8"},
		{"publish 5 subscription id 0", V5, pub5("\x0b\x00"), "section 3.3.2.3.8"},
		{"publish 5 response topic wildcard", V5, pub5("\x08\x00\x03a/#"), "MQTT-3.3.2-14"},
		{"publish 5 response topic empty", V5, pub5("\x08\x00\x00"), "MQTT-4.7.3-1"},
		{"publish 5 content type bad UTF-8", V5, pub5("\x03\x00\x01\xff"), "MQTT-1.5.4-1"},
		{"publish 5 user name NUL", V5, pub5("\x26\x00\x01\x00\x00\x01v"), "MQTT-1.5.4-2"},
		{"publish 5 user value bad UTF-8", V5, pub5("\x26\x00\x01k\x00\x01\xff"), "MQTT-1.5.4-1"},
		{"publish 5 user value missing", V5, pub5("\x26\x00\x01k"), "section 2.1.4"},
		{"publish 5 expiry short", V5, pub5("\x02\x00\x00"), "section 2.1.4"},
		{"publish 5 correlation data short", V5, pub5("\x09\x00\x05a"), "section 2.1.4"},
	}
}

func ackCorpus() []frameCase {
	return []frameCase{
		{"puback 3.1.1", V311, "\x40\x02\x00\x01", ""},
		{"pubrec 3.1.1", V311, "\x50\x02\xff\xff", ""},
		{"pubrel 3.1.1", V311, "\x62\x02\x00\x01", ""},
		{"pubcomp 3.1.1", V311, "\x70\x02\x00\x01", ""},
		{"puback 3.1.1 id 0", V311, "\x40\x02\x00\x00", "MQTT-2.2.1-5"},
		{"puback 3.1.1 short", V311, "\x40\x01\x00", "section 2.1.4"},
		{"puback 3.1.1 empty", V311, "\x40\x00", "section 2.1.4"},
		{"puback 3.1.1 reason", V311, "\x40\x03\x00\x01\x00", "section 2.1.4"},
		{"puback 3.1.1 flags", V311, "\x41\x02\x00\x01", "MQTT-2.1.3-1"},
		{"pubrel 3.1.1 flags", V311, "\x60\x02\x00\x01", "MQTT-3.6.1-1"},
		{"puback 5 short form", V5, "\x40\x02\x00\x01", ""},
		{"puback 5 reason", V5, "\x40\x03\x00\x01\x10", ""},
		{"puback 5 no properties", V5, "\x40\x04\x00\x01\x87\x00", ""},
		{"puback 5 reason string", V5, "\x40\x09\x00\x01\x87\x05\x1f\x00\x02no", ""},
		{"pubrec 5 user properties", V5, packet(0x50, "\x00\x01\x97\x0e\x26\x00\x01a\x00\x01b\x26\x00\x01a\x00\x01b"), ""},
		{"pubrel 5 not found", V5, "\x62\x03\x00\x01\x92", ""},
		{"pubcomp 5 not found", V5, "\x70\x03\x00\x01\x92", ""},
		{"puback 5 id 0", V5, "\x40\x03\x00\x00\x00", "MQTT-2.2.1-5"},
		{"puback 5 repeated reason string", V5, "\x40\x0a\x00\x01\x87\x06\x1f\x00\x00\x1f\x00\x00", "section 2.2.2.2"},
		{"puback 5 property of PUBLISH", V5, "\x40\x06\x00\x01\x87\x02\x01\x00", "section 2.2.2.2"},
		{"puback 5 trailing bytes", V5, "\x40\x05\x00\x01\x87\x00\x00", "section 2.1.4"},
		{"puback 5 property length too long", V5, "\x40\x04\x00\x01\x87\x05", "section 2.1.4"},
		{"pubrel 5 flags", V5, "\x64\x02\x00\x01", "MQTT-3.6.1-1"},
	}
}

func controlCorpus() []frameCase {
	return []frameCase{
		{"connack 3.1.1", V311, "\x20\x02\x00\x00", ""},
		{"connack 3.1.1 session present", V311, "\x20\x02\x01\x00", ""},
		{"connack 3.1.1 refused", V311, "\x20\x02\x00\x05", ""},
		{"connack 3.1.1 reserved flags", V311, "\x20\x02\x02\x00", "MQTT-3.2.2-1"},
		{"connack 3.1.1 session beside refusal", V311, "\x20\x02\x01\x05", "MQTT-3.2.2-6"},
		{"connack 3.1.1 long", V311, "\x20\x03\x00\x00\x00", "section 2.1.4"},
		{"connack 3.1.1 short", V311, "\x20\x01\x00", "section 2.1.4"},
		{"connack 5", V5, connack5(""), ""},
		{"connack 5 all properties", V5, connack5(allConnackProps), ""},
		{"connack 5 from a 3.1.1 server", V5, "\x20\x02\x00\x01", ""},
		{"connack 5 maximum QoS 2", V5, connack5("\x24\x02"), ""},
		{"connack 5 without properties", V5, "\x20\x02\x00\x00", "MQTT-1.5.5-1"},
		{"connack 5 receive maximum 0", V5, connack5("\x21\x00\x00"), "section 3.2.2.3.3"},
		{"connack 5 packet size 0", V5, connack5("\x27\x00\x00\x00\x00"), "section 3.2.2.3.6"},
		{"connack 5 maximum QoS 3", V5, connack5("\x24\x03"), "section 3.2.2.3.4"},
		{"connack 5 retain 2", V5, connack5("\x25\x02"), "section 3.2.2.3"},
		{"connack 5 repeated receive maximum", V5, connack5("\x21\x00\x01\x21\x00\x01"), "section 2.2.2.2"},
		{"connack 5 property of PUBLISH", V5, connack5("\x23\x00\x01"), "section 2.2.2.2"},
		{"connack 5 trailing bytes", V5, "\x20\x04\x00\x00\x00\x00", "section 2.1.4"},
		{"connack flags", V5, "\x21\x03\x00\x00\x00", "MQTT-2.1.3-1"},
		{"suback 3.1.1", V311, "\x90\x04\x00\x01\x00\x80", ""},
		{"suback 3.1.1 no codes", V311, "\x90\x02\x00\x01", "MQTT-3.9.3-1"},
		{"suback 5", V5, "\x90\x05\x00\x01\x00\x01\x02", ""},
		{"suback 5 reason string", V5, "\x90\x08\x00\x01\x04\x1f\x00\x01n\x87", ""},
		{"suback 5 property", V5, "\x90\x06\x00\x01\x02\x01\x00\x00", "section 2.2.2.2"},
		{"suback id 0", V5, "\x90\x04\x00\x00\x00\x00", "MQTT-2.2.1-3"},
		{"unsuback 3.1.1", V311, "\xb0\x02\x00\x01", ""},
		{"unsuback 3.1.1 codes", V311, "\xb0\x03\x00\x01\x00", "section 2.1.4"},
		{"unsuback 5", V5, "\xb0\x05\x00\x01\x00\x00\x11", ""},
		{"subscribe 3.1.1", V311, packet(0x82, "\x00\x01\x00\x01a\x01\x00\x01b\x02"), ""},
		{"subscribe 5", V5, packet(0x82, "\x00\x01\x02\x0b\x05\x00\x01a\x2e"), ""},
		{"subscribe no filter", V311, packet(0x82, "\x00\x01"), "MQTT-3.8.3-2"},
		{"subscribe empty filter", V311, packet(0x82, "\x00\x01\x00\x00\x01"), "MQTT-4.7.3-1"},
		{"subscribe no options", V311, packet(0x82, "\x00\x01\x00\x01a"), "section 2.1.4"},
		{"subscribe qos 3", V311, packet(0x82, "\x00\x01\x00\x01a\x03"), "section 3.8.3.1"},
		{"subscribe flags", V311, packet(0x80, "\x00\x01\x00\x01a\x00"), "MQTT-3.8.1-1"},
		{"unsubscribe 3.1.1", V311, packet(0xa2, "\x00\x01\x00\x01a\x00\x01b"), ""},
		{"unsubscribe flags", V311, packet(0xa0, "\x00\x01\x00\x01a"), "MQTT-3.10.1-1"},
		{"disconnect 5 empty", V5, "\xe0\x00", ""},
		{"disconnect 5 taken over", V5, "\xe0\x01\x8e", ""},
		{"disconnect 5 moved", V5, "\xe0\x0c\x9d\x0a\x1c\x00\x03srv\x1f\x00\x01r", ""},
		{"disconnect 5 trailing bytes", V5, "\xe0\x03\x9d\x00\x00", "section 2.1.4"},
		{"disconnect 3.1.1 empty", V311, "\xe0\x00", ""},
		{"disconnect 3.1.1 reason", V311, "\xe0\x01\x8e", "section 2.1.4"},
		{"pingresp", V311, "\xd0\x00", ""},
		{"pingresp with body", V311, "\xd0\x01\x00", "section 2.1.4"},
		{"reserved type", V311, "\x00\x00", "section 2.1.2"},
		{"length of five bytes", V311, "\x30\xff\xff\xff\xff\x01", "MQTT-1.5.5-1"},
	}
}

var errIncomplete = errors.New("incomplete frame")

// decodeFrame decodes a whole frame as a connection does and returns the result
// of the decoder for its type.
func decodeFrame(v Version, frame []byte) (any, error) {
	h, ok, err := ParseHeader(frame)
	if err != nil {
		return nil, err
	}
	if !ok || h.Total() != len(frame) {
		return nil, errIncomplete
	}
	if err := h.Validate(); err != nil {
		return nil, err
	}
	return decodeBody(v, h.First, frame[h.Size:])
}

func decodeBody(v Version, first byte, body []byte) (any, error) {
	switch t := Type(first >> 4); t {
	case TypePublish:
		p := new(Publish)
		return p, p.Decode(v, first, body)
	case TypePuback, TypePubrec, TypePubrel, TypePubcomp:
		a := new(Ack)
		return a, a.Decode(v, first, body)
	case TypeConnack:
		k := new(Connack)
		return k, k.Decode(v, body)
	case TypeDisconnect:
		d := new(Disconnect)
		return d, d.Decode(v, body)
	case TypeSubscribe, TypeUnsubscribe:
		id, n, err := SubscribeCount(v, first, body)
		return fmt.Sprintf("%d:%d", id, n), err
	case TypeSuback, TypeUnsuback:
		id, n, err := SubackCount(v, first, body)
		return fmt.Sprintf("%d:%d", id, n), err
	case TypeAuth:
		return t, new(Auth).Decode(body)
	default:
		return t, nil
	}
}
