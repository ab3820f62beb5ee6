package wire

import (
	"bytes"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"
)

func TestCorpus(t *testing.T) {
	t.Parallel()
	for _, c := range corpus() {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			_, err := decodeFrame(c.v, []byte(c.frame))
			if c.rule == "" {
				if err != nil {
					t.Fatalf("refused: %v", err)
				}
				return
			}
			var m *MalformedError
			if !errors.As(err, &m) {
				t.Fatalf("got %v, want a MalformedError with %s", err, c.rule)
			}
			if m.Rule != c.rule {
				t.Fatalf("got rule %s (%v), want %s", m.Rule, err, c.rule)
			}
			if !strings.Contains(err.Error(), c.rule) {
				t.Fatalf("%q does not name the rule", err)
			}
		})
	}
}

// A good frame that is cut short at any byte is rejected or incomplete, and
// never causes a panic.
func TestTruncatedBody(t *testing.T) {
	t.Parallel()
	for _, c := range corpus() {
		h, ok, err := ParseHeader([]byte(c.frame))
		if err != nil || !ok || h.Remaining > 500 {
			continue
		}
		body := []byte(c.frame)[h.Size:]
		for n := range body {
			_, _ = decodeBody(c.v, h.First, bytes.Clone(body[:n]))
			_, _ = decodeBody(9-c.v, h.First, bytes.Clone(body[:n]))
		}
	}
}

func TestParseHeader(t *testing.T) {
	t.Parallel()
	for _, n := range []int{0, 1, 127, 128, 16_383, 16_384, 2_097_151, 2_097_152, MaxRemaining} {
		b := appendLength([]byte{0x30}, n)
		if len(b) != 1+lengthSize(n) {
			t.Errorf("%d takes %d bytes, lengthSize says %d", n, len(b)-1, lengthSize(n))
		}
		h, ok, err := ParseHeader(append(b, "rest"...))
		if err != nil || !ok || h.Remaining != n || h.Size != len(b) || h.Type() != TypePublish || h.Total() != n+len(b) {
			t.Errorf("%d: %+v, %v, %v", n, h, ok, err)
		}
		for i := range b {
			if _, ok, err := ParseHeader(b[:i]); ok || err != nil {
				t.Errorf("%d cut to %d bytes: ok %v, %v", n, i, ok, err)
			}
		}
	}
	if h, ok, err := ParseHeader([]byte("\xd0\x80\x00")); err != nil || !ok || h.Remaining != 0 || h.Size != 3 {
		t.Errorf("overlong zero: %+v, %v, %v", h, ok, err)
	}
}

func TestDecodedPublish(t *testing.T) {
	t.Parallel()
	got, err := decodeFrame(V5, []byte(pub5(allPublishProps)))
	if err != nil {
		t.Fatal(err)
	}
	p := got.(*Publish)
	if n, size := p.Props.UserLen(); n != 2 || size != 14 {
		t.Errorf("UserLen = %d, %d, want 2, 14", n, size)
	}
	var pairs []string
	for k, v := range p.Props.UserPairs() {
		pairs = append(pairs, string(k)+"="+string(v))
	}
	if !reflect.DeepEqual(pairs, []string{"k=v", "k=w"}) {
		t.Errorf("pairs %v", pairs)
	}
	p.Props.User = nil
	want := &Publish{Topic: []byte("t"), Payload: []byte("x"), Props: Properties{
		HasPayloadFormat: true, PayloadFormat: 1, HasMessageExpiry: true, MessageExpiry: 10, TopicAlias: 5,
		ContentType: []byte("ct"), ResponseTopic: []byte("rt"), CorrelationData: []byte("cd"),
		SubscriptionIDs: [KeptSubscriptionIDs]uint32{1, 128}, SubscriptionIDCount: 2,
		UserCount: 2, UserBytes: 4,
	}}
	if !reflect.DeepEqual(p, want) {
		t.Errorf("got  %+v\nwant %+v", p, want)
	}
}

// An absent property and an empty one are different.
func TestEmptyProperties(t *testing.T) {
	t.Parallel()
	got, err := decodeFrame(V5, []byte(pub5("\x03\x00\x00\x09\x00\x00\x02\x00\x00\x00\x00")))
	if err != nil {
		t.Fatal(err)
	}
	p := got.(*Publish).Props
	if p.ContentType == nil || p.CorrelationData == nil || !p.HasMessageExpiry || p.ResponseTopic != nil || p.HasPayloadFormat {
		t.Errorf("presence lost: %+v", p)
	}
	again, err := (&Publish{Topic: []byte("t"), Props: p}).Append(nil, V5)
	if err != nil || !bytes.Contains(again, []byte("\x09\x00\x00")) || !bytes.Contains(again, []byte("\x03\x00\x00")) {
		t.Errorf("%q, %v", again, err)
	}
}

func TestManySubscriptionIDs(t *testing.T) {
	t.Parallel()
	got, err := decodeFrame(V5, []byte(pub5(strings.Repeat("\x0b\x07", 10))))
	if err != nil {
		t.Fatal(err)
	}
	p := got.(*Publish)
	if p.Props.SubscriptionIDCount != 10 || p.Props.SubscriptionIDs[KeptSubscriptionIDs-1] != 7 {
		t.Errorf("%+v", p.Props)
	}
	if _, err := p.Append(nil, V5); err == nil {
		t.Error("a message whose identifiers are not all kept was written")
	}
}

// A decoded good frame encodes and decodes to the same value, in the size that
// Size returned.
func TestReencode(t *testing.T) {
	t.Parallel()
	for _, c := range publishCorpus() {
		if c.rule != "" || strings.Contains(c.name, "ten subscription") {
			continue
		}
		got, err := decodeFrame(c.v, []byte(c.frame))
		if err != nil {
			t.Fatal(err)
		}
		p := got.(*Publish)
		frame, err := p.Append([]byte("before"), c.v)
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		frame = frame[len("before"):]
		if len(frame) != p.Size(c.v) || len(frame) != len(c.frame) {
			t.Errorf("%s: %d bytes, Size %d, original %d", c.name, len(frame), p.Size(c.v), len(c.frame))
		}
		again, err := decodeFrame(c.v, frame)
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		if !equalPublish(p, again.(*Publish)) {
			t.Errorf("%s: changed:\n%+v\n%+v", c.name, p, again)
		}
	}
}

func equalPublish(a, b *Publish) bool {
	x, y := *a, *b
	if !reflect.DeepEqual(pairs(&x.Props), pairs(&y.Props)) {
		return false
	}
	x.Props.User, y.Props.User = nil, nil
	return reflect.DeepEqual(x, y)
}

func pairs(p *Properties) (out [][2]string) {
	for k, v := range p.UserPairs() {
		out = append(out, [2]string{string(k), string(v)})
	}
	return out
}

func TestAppendRefuses(t *testing.T) {
	t.Parallel()
	topic, long := []byte("t"), bytes.Repeat([]byte("x"), MaxString+1)
	for name, c := range map[string]struct {
		v Version
		p Publish
	}{
		"qos 3":                 {V311, Publish{Topic: topic, QoS: 3, PacketID: 1}},
		"dup qos 0":             {V311, Publish{Topic: topic, Dup: true}},
		"id with qos 0":         {V311, Publish{Topic: topic, PacketID: 1}},
		"no id":                 {V5, Publish{Topic: topic, QoS: 1}},
		"no topic":              {V5, Publish{}},
		"alias on 3.1.1":        {V311, Publish{Props: Properties{TopicAlias: 1}}},
		"long topic":            {V5, Publish{Topic: long}},
		"wildcard":              {V5, Publish{Topic: []byte("a/+")}},
		"NUL":                   {V311, Publish{Topic: []byte("a\x00")}},
		"bad UTF-8":             {V311, Publish{Topic: []byte("a\xff")}},
		"format":                {V5, Publish{Topic: topic, Props: Properties{HasPayloadFormat: true, PayloadFormat: 2}}},
		"long content type":     {V5, Publish{Topic: topic, Props: Properties{ContentType: long}}},
		"content type":          {V5, Publish{Topic: topic, Props: Properties{ContentType: []byte{0}}}},
		"long correlation data": {V5, Publish{Topic: topic, Props: Properties{CorrelationData: long}}},
		"response topic":        {V5, Publish{Topic: topic, Props: Properties{ResponseTopic: []byte("#")}}},
		"empty response topic":  {V5, Publish{Topic: topic, Props: Properties{ResponseTopic: []byte{}}}},
		"user":                  {V5, Publish{Topic: topic, Props: Properties{User: []byte{0x26, 0}}}},
		"subscription id":       {V5, Publish{Topic: topic, Props: Properties{SubscriptionIDCount: 1}}},
		"subscription id count": {V5, Publish{Topic: topic, Props: Properties{SubscriptionIDCount: -1}}},
	} {
		dst := []byte("kept")
		got, err := c.p.Append(dst, c.v)
		var m *MalformedError
		if !errors.As(err, &m) || string(got) != "kept" {
			t.Errorf("%s: %.20q, %v", name, got, err)
		}
		_ = c.p.Size(c.v)
	}
	if checkRemaining(MaxRemaining) != nil || checkRemaining(MaxRemaining+1) == nil {
		t.Error("limit of the remaining length")
	}
}

func TestAppendUser(t *testing.T) {
	t.Parallel()
	raw, err := AppendUser(nil, "k", "")
	if err != nil || string(raw) != "\x26\x00\x01k\x00\x00" {
		t.Fatalf("%q, %v", raw, err)
	}
	long := strings.Repeat("x", MaxString+1)
	for _, kv := range [][2]string{{"a\x00", "b"}, {"a", "\xff"}, {long, ""}, {"", long}} {
		if got, err := AppendUser(raw, kv[0], kv[1]); err == nil || !bytes.Equal(got, raw) {
			t.Errorf("%.5q: %q, %v", kv[0], got, err)
		}
	}
}

func TestDecodedConnack(t *testing.T) {
	t.Parallel()
	got, err := decodeFrame(V5, []byte(connack5(allConnackProps)))
	if err != nil {
		t.Fatal(err)
	}
	want := &Connack{
		HasSessionExpiry: true, SessionExpiry: 60, AssignedClientID: "id", HasServerKeepAlive: true, ServerKeepAlive: 10,
		ServerReference: "srv", ReasonString: "ok", AuthData: []byte("d"), ReceiveMaximum: 20, TopicAliasMaximum: 5, MaximumQoS: 1,
		MaximumPacketSize: 1 << 20,
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	var k Connack
	if err := k.Decode(V311, []byte{1, 0}); err != nil {
		t.Fatal(err)
	}
	if !k.SessionPresent || k.ReceiveMaximum != 65_535 || k.MaximumQoS != 2 || !k.RetainAvailable ||
		!k.WildcardAvailable || !k.SubIDAvailable || !k.SharedAvailable || k.MaximumPacketSize != 0 {
		t.Errorf("defaults: %+v", k)
	}
	if err := k.Decode(V5, []byte{0, 1}); err != nil || k.Reason != ReturnUnacceptableVersion {
		t.Errorf("refusal of a 3.1.1 server: %+v, %v", k, err)
	}
}

func TestDecodedDisconnectAndAck(t *testing.T) {
	t.Parallel()
	d, err := decodeFrame(V5, []byte("\xe0\x0c\x9d\x0a\x1c\x00\x03srv\x1f\x00\x01r"))
	if want := (&Disconnect{Reason: ReasonServerMoved, ServerReference: "srv", ReasonString: "r"}); err != nil || !reflect.DeepEqual(d, want) {
		t.Errorf("%+v, %v", d, err)
	}
	a, err := decodeFrame(V5, []byte("\x40\x09\x00\x01\x87\x05\x1f\x00\x02no"))
	if want := (&Ack{Type: TypePuback, PacketID: 1, Reason: ReasonNotAuthorized, ReasonString: []byte("no")}); err != nil || !reflect.DeepEqual(a, want) {
		t.Errorf("%+v, %v", a, err)
	}
}

func TestSubscriptionCounts(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		v     Version
		frame string
		want  string
	}{
		{V311, packet(0x82, "\x00\x01\x00\x01a\x01\x00\x01b\x02"), "1:2"},
		{V5, packet(0x82, "\x00\x02\x02\x0b\x05\x00\x01a\x2e"), "2:1"},
		{V311, packet(0xa2, "\x00\x03\x00\x01a\x00\x01b"), "3:2"},
		{V311, "\x90\x04\x00\x04\x00\x80", "4:2"},
		{V5, "\x90\x08\x00\x05\x04\x1f\x00\x01n\x87", "5:1"},
		{V311, "\xb0\x02\x00\x06", "6:0"},
		{V5, "\xb0\x05\x00\x07\x00\x00\x11", "7:2"},
	} {
		if got, err := decodeFrame(c.v, []byte(c.frame)); err != nil || got != c.want {
			t.Errorf("%q: %v, %v, want %s", c.frame, got, err, c.want)
		}
	}
}

func TestAppendAck(t *testing.T) {
	t.Parallel()
	for _, v := range []Version{V311, V5} {
		for typ := TypePuback; typ <= TypePubcomp; typ++ {
			for _, reason := range []byte{0, ReasonPacketIDNotFound} {
				frame := AppendAck(nil, v, typ, 0x8001, reason)
				got, err := decodeFrame(v, frame)
				want := &Ack{Type: typ, PacketID: 0x8001, Reason: reason}
				if v == V311 {
					want.Reason = 0
				}
				if err != nil || !reflect.DeepEqual(got, want) || len(frame) > MaxAck || reason == 0 && len(frame) != 4 {
					t.Errorf("%s %s: %q, %+v, %v", v, typ, frame, got, err)
				}
			}
		}
	}
}

func TestPatch(t *testing.T) {
	t.Parallel()
	p := Publish{Topic: []byte("a/b"), QoS: 1, PacketID: 7, Payload: bytes.Repeat([]byte("x"), 200)}
	frame, err := p.Append(nil, V5)
	if err != nil {
		t.Fatal(err)
	}
	at := PacketIDOffset(frame)
	if PacketID(frame, at) != 7 || !PatchPacketID(frame, at, 0x9001) {
		t.Fatalf("offset %d", at)
	}
	SetDup(frame)
	got, err := decodeFrame(V5, frame)
	if err != nil || !got.(*Publish).Dup || got.(*Publish).PacketID != 0x9001 {
		t.Fatalf("%+v, %v", got, err)
	}
	ClearDup(frame)
	PatchPacketID(frame, at, 7)
	if again, _ := p.Append(nil, V5); !bytes.Equal(frame, again) {
		t.Error("frame did not come back")
	}
	if PatchPacketID(frame, at, 0) || PatchPacketID(frame, -1, 1) || PatchPacketID(frame, len(frame)-1, 1) {
		t.Error("patched what must not be")
	}
	if PacketID(frame, -1) != 0 || PacketID(frame, len(frame)) != 0 {
		t.Error("identifier from outside the frame")
	}
}

func TestPatchLeavesOthersAlone(t *testing.T) {
	t.Parallel()
	for frame, want := range map[string]int{
		"":                                 -1,
		"\x30":                             -1,
		packet(0x30, "\x00\x01t"):          -1,
		"\x32\x03\x00\x05t":                -1,
		"\x32\x01\x00":                     -1,
		"\xc0\x00":                         -1,
		"\x20\x02\x00\x00":                 -1,
		"\x40\x02\x00\x01":                 2,
		"\x40\x02\x00":                     -1,
		"\x90\x03\x00\x01\x00":             2,
		packet(0x32, "\x00\x01t\x00\x01p"): 5,
	} {
		b := []byte(frame)
		if got := PacketIDOffset(b); got != want {
			t.Errorf("%q: offset %d, want %d", frame, got, want)
		}
		if len(b) > 0 && (b[0] == 0x32) {
			continue
		}
		SetDup(b)
		ClearDup(b)
		if string(b) != frame {
			t.Errorf("%q became %q", frame, b)
		}
	}
}

func TestNames(t *testing.T) {
	t.Parallel()
	for typ := TypeConnect; typ <= TypeAuth; typ++ {
		if s := typ.String(); s == "RESERVED" || s != strings.ToUpper(s) {
			t.Errorf("type %d: %s", typ, s)
		}
		if typ.Data() != (typ >= 3 && typ <= 7) {
			t.Errorf("%s.Data()", typ)
		}
	}
	if Type(0).String() != "RESERVED" || V311.String() != "3.1.1" || V5.String() != "5" || Version(3).String() != "unknown" {
		t.Error("names of types and versions")
	}
	for _, c := range []struct {
		t    Type
		v    Version
		code byte
		want string
	}{
		{TypeConnack, V311, 0, "success"},
		{TypeConnack, V311, 5, "not authorized"},
		{TypeConnack, V5, 1, "unacceptable protocol version"},
		{TypeConnack, V5, 0x84, "unsupported protocol version"},
		{TypeSuback, V311, 0x80, "failure"},
		{TypeSuback, V5, 0x80, "unspecified error"},
		{TypeSuback, V5, 1, "granted QoS 1"},
		{TypePuback, V5, 0x10, "no matching subscribers"},
		{TypePubrec, V5, 0x97, "quota exceeded"},
		{TypePubrel, V5, 0x92, "packet identifier not found"},
		{TypePubcomp, V5, 0, "success"},
		{TypeDisconnect, V5, 0, "normal disconnection"},
		{TypeDisconnect, V5, 0x8E, "session taken over"},
		{TypeDisconnect, V5, 0xA2, "wildcard subscriptions not supported"},
		{TypeDisconnect, V5, 0xA3, "code 0xa3"},
		{TypePuback, V5, 0x7F, "code 0x7f"},
		{TypePuback, V311, 0x87, "code 0x87"},
	} {
		if got := ReasonName(c.t, c.v, c.code); got != c.want {
			t.Errorf("%s %s 0x%02x: %q, want %q", c.t, c.v, c.code, got, c.want)
		}
	}
}

func TestPatchReceiveMaximum(t *testing.T) {
	t.Parallel()
	head := []byte("\x00\x04MQTT\x05\x02\x00\x3c")
	expiry, maximum, other := []byte{0x11, 0, 0, 1, 0x2c}, []byte{0x21, 0, 1}, []byte{0x21, 0x12, 0x34}
	user := []byte("\x26\x00\x01\x21\x00\x01\x21")
	connect := func(properties ...[]byte) []byte {
		all := slices.Concat(properties...)
		body := slices.Concat(head, []byte{byte(len(all))}, all, []byte{0, 1, 'c'})
		return append([]byte{0x10, byte(len(body))}, body...)
	}
	for name, around := range map[string][2][]byte{
		"alone": {}, "first": {nil, expiry}, "last": {expiry, nil}, "behind its number in a user property": {user, expiry},
	} {
		frame, want := connect(around[0], maximum, around[1]), connect(around[0], other, around[1])
		if !PatchReceiveMaximum(frame, 0x1234) || !bytes.Equal(frame, want) {
			t.Errorf("%s: % x, want % x", name, frame, want)
		}
	}
	whole := connect(expiry, maximum)
	for name, frame := range map[string][]byte{
		"none":         connect(expiry, user),
		"no property":  connect(),
		"unknown":      connect([]byte{0x7f}, maximum),
		"another type": append([]byte{0x30}, whole[1:]...),
		"empty":        nil,
		"cut":          whole[:len(whole)-6],
	} {
		before := bytes.Clone(frame)
		if PatchReceiveMaximum(frame, 0x1234) || !bytes.Equal(frame, before) {
			t.Errorf("%s: % x was changed to % x", name, before, frame)
		}
	}
}
