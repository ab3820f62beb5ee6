package wire

import (
	"bytes"
	"reflect"
	"testing"

	paho5 "github.com/eclipse/paho.golang/packets"
	paho3 "github.com/eclipse/paho.mqtt.golang/packets"
)

// FuzzDecode decodes arbitrary frames with this package and with the control
// libraries. Nothing may panic, and a frame that both accept must have the same
// meaning.
func FuzzDecode(f *testing.F) {
	for _, c := range corpus() {
		f.Add(byte(c.v), []byte(c.frame))
	}
	f.Fuzz(func(t *testing.T, level byte, frame []byte) {
		v := V311
		if level == byte(V5) {
			v = V5
		}
		h, ok, err := ParseHeader(frame)
		if err != nil || !ok || h.Total() != len(frame) {
			return // the references allocate as much as the length claims
		}
		_ = PacketIDOffset(frame)
		got, err := decodeFrame(v, bytes.Clone(frame))
		if err != nil {
			return
		}
		compare(t, v, frame, got)
		if p, ok := got.(*Publish); ok {
			reencode(t, v, p)
		}
	})
}

func reencode(t *testing.T, v Version, p *Publish) {
	t.Helper()
	if p.Props.SubscriptionIDCount > KeptSubscriptionIDs {
		return
	}
	frame, err := p.Append(nil, v)
	if err != nil {
		t.Fatalf("decoded but not encoded: %v", err)
	}
	if len(frame) != p.Size(v) {
		t.Fatalf("%d bytes, Size says %d", len(frame), p.Size(v))
	}
	again, err := decodeFrame(v, frame)
	if err != nil || !equalPublish(p, again.(*Publish)) {
		t.Fatalf("changed on the way: %v\n%+v\n%+v", err, p, again)
	}
	compare(t, v, frame, again)
}

// compare fails if the control library of the version decodes a frame
// differently, or rejects a frame that this package accepted.
func compare(t *testing.T, v Version, frame []byte, got any) {
	t.Helper()
	if v == V5 {
		compare5(t, frame, got)
		return
	}
	compare3(t, frame, got)
}

func compare3(t *testing.T, frame []byte, got any) {
	t.Helper()
	ref, err := paho3.ReadPacket(bytes.NewReader(frame))
	if err != nil {
		if _, ok := got.(*Publish); ok {
			t.Fatalf("reference refuses what we accept: %v", err)
		}
		return
	}
	switch p := got.(type) {
	case *Publish:
		r := ref.(*paho3.PublishPacket)
		if r.TopicName != string(p.Topic) || r.MessageID != p.PacketID || !bytes.Equal(r.Payload, p.Payload) ||
			r.Dup != p.Dup || r.Qos != p.QoS || r.Retain != p.Retain {
			t.Fatalf("reference %v, ours %+v", r, p)
		}
	case *Ack:
		if ref.Details().MessageID != p.PacketID {
			t.Fatalf("reference %v, ours %+v", ref, p)
		}
	case *Connack:
		r := ref.(*paho3.ConnackPacket)
		if r.ReturnCode != p.Reason || r.SessionPresent != p.SessionPresent {
			t.Fatalf("reference %v, ours %+v", r, p)
		}
	}
}

func compare5(t *testing.T, frame []byte, got any) {
	t.Helper()
	ref, err := paho5.ReadPacket(bytes.NewReader(frame))
	if err != nil {
		if _, ok := got.(*Publish); ok {
			t.Fatalf("reference refuses what we accept: %v", err)
		}
		return
	}
	switch p := got.(type) {
	case *Publish:
		comparePublish5(t, ref.Content.(*paho5.Publish), p)
	case *Ack:
		compareAck5(t, ref, p)
	case *Connack:
		compareConnack5(t, ref.Content.(*paho5.Connack), p)
	}
}

func comparePublish5(t *testing.T, r *paho5.Publish, p *Publish) {
	t.Helper()
	if r.Topic != string(p.Topic) || r.PacketID != p.PacketID || !bytes.Equal(r.Payload, p.Payload) ||
		r.Duplicate != p.Dup || r.QoS != p.QoS || r.Retain != p.Retain {
		t.Fatalf("reference %v, ours %+v", r, p)
	}
	rp, o := r.Properties, &p.Props
	ok := equalPtr(rp.PayloadFormat, o.PayloadFormat, o.HasPayloadFormat) &&
		equalPtr(rp.MessageExpiry, o.MessageExpiry, o.HasMessageExpiry) &&
		equalPtr(rp.TopicAlias, o.TopicAlias, o.TopicAlias != 0) &&
		rp.ContentType == string(o.ContentType) && rp.ResponseTopic == string(o.ResponseTopic) &&
		bytes.Equal(rp.CorrelationData, o.CorrelationData)
	if n := o.SubscriptionIDCount; ok && n > 0 && n <= KeptSubscriptionIDs {
		ok = *rp.SubscriptionIdentifier == int(o.SubscriptionIDs[n-1])
	}
	var user [][2]string
	for _, u := range rp.User {
		user = append(user, [2]string{u.Key, u.Value})
	}
	if !ok || !reflect.DeepEqual(user, pairs(o)) {
		t.Fatalf("reference %v, ours %+v", rp, o)
	}
}

func equalPtr[T comparable](ref *T, ours T, has bool) bool {
	return has == (ref != nil) && (!has || *ref == ours)
}

func compareAck5(t *testing.T, ref *paho5.ControlPacket, a *Ack) {
	t.Helper()
	var (
		id     uint16
		reason byte
		text   string
	)
	switch r := ref.Content.(type) {
	case *paho5.Puback:
		id, reason, text = r.PacketID, r.ReasonCode, r.Properties.ReasonString
	case *paho5.Pubrec:
		id, reason, text = r.PacketID, r.ReasonCode, r.Properties.ReasonString
	case *paho5.Pubrel:
		id, reason, text = r.PacketID, r.ReasonCode, r.Properties.ReasonString
	case *paho5.Pubcomp:
		id, reason, text = r.PacketID, r.ReasonCode, r.Properties.ReasonString
	}
	if id != a.PacketID || reason != a.Reason || text != string(a.ReasonString) || Type(ref.Type) != a.Type {
		t.Fatalf("reference %v, ours %+v", ref, a)
	}
}

func compareConnack5(t *testing.T, r *paho5.Connack, k *Connack) {
	t.Helper()
	p := r.Properties
	orTrue := func(b *byte) bool { return b == nil || *b == 1 }
	if r.ReasonCode != k.Reason || r.SessionPresent != k.SessionPresent ||
		(p.ReceiveMaximum != nil && *p.ReceiveMaximum != k.ReceiveMaximum) ||
		(p.MaximumQOS != nil && *p.MaximumQOS != k.MaximumQoS) ||
		(p.MaximumPacketSize != nil && *p.MaximumPacketSize != k.MaximumPacketSize) ||
		(p.TopicAliasMaximum != nil && *p.TopicAliasMaximum != k.TopicAliasMaximum) ||
		!equalPtr(p.ServerKeepAlive, k.ServerKeepAlive, k.HasServerKeepAlive) ||
		!equalPtr(p.SessionExpiryInterval, k.SessionExpiry, k.HasSessionExpiry) ||
		p.AssignedClientID != k.AssignedClientID || p.ServerReference != k.ServerReference ||
		p.ReasonString != k.ReasonString || orTrue(p.RetainAvailable) != k.RetainAvailable ||
		orTrue(p.WildcardSubAvailable) != k.WildcardAvailable || orTrue(p.SubIDAvailable) != k.SubIDAvailable ||
		orTrue(p.SharedSubAvailable) != k.SharedAvailable {
		t.Fatalf("reference %v, ours %+v", r, k)
	}
}

// TestCorpusAgainstReference compares the corpus without fuzzing, on every test
// run.
func TestCorpusAgainstReference(t *testing.T) {
	t.Parallel()
	for _, c := range corpus() {
		if c.rule != "" {
			continue
		}
		got, err := decodeFrame(c.v, []byte(c.frame))
		if err != nil {
			t.Fatal(err)
		}
		compare(t, c.v, []byte(c.frame), got)
	}
}

// FuzzAppend encodes arbitrary values of a caller: each is rejected, or decoded
// to the same values by this package and by the control library.
func FuzzAppend(f *testing.F) {
	f.Add(byte(5), byte(0x02), uint16(7), "a/b", []byte("payload"), "text/plain", "reply/1", []byte("id"), "key", "value", uint32(60), uint16(3))
	f.Add(byte(4), byte(0x0d), uint16(9), "grün/#", []byte{}, "", "", []byte(nil), "", "", uint32(0), uint16(0))
	f.Fuzz(func(t *testing.T, level, flags byte, id uint16, topic string, payload []byte, contentType, response string,
		correlation []byte, key, value string, expiry uint32, alias uint16,
	) {
		v := V311
		if level == byte(V5) {
			v = V5
		}
		p := &Publish{
			Topic: []byte(topic), Payload: payload, PacketID: id,
			QoS: flags >> 1 & 3, Dup: flags&8 != 0, Retain: flags&1 != 0,
		}
		if v == V5 {
			p.Props = Properties{ContentType: []byte(contentType), CorrelationData: correlation, MessageExpiry: expiry, TopicAlias: alias}
			p.Props.HasMessageExpiry = flags&0x10 != 0
			if !p.Props.HasMessageExpiry {
				p.Props.MessageExpiry = 0
			}
			if response != "" {
				p.Props.ResponseTopic = []byte(response)
			}
			var err error
			if p.Props.User, err = AppendUser(nil, key, value); err != nil {
				return
			}
		}
		frame, err := p.Append(nil, v)
		if err != nil {
			return
		}
		got, err := decodeFrame(v, frame)
		if err != nil {
			t.Fatalf("encoded but not decoded: %v", err)
		}
		compare(t, v, frame, got)
		want, err := got.(*Publish).Append(nil, v)
		if err != nil || !bytes.Equal(want, frame) {
			t.Fatalf("second encoding differs: %v", err)
		}
	})
}
