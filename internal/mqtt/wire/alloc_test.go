package wire

import (
	"bytes"
	"testing"
)

// sample returns a typical MQTT 5 message: 256 bytes of payload, a content type
// and two user properties.
func sample(tb testing.TB) *Publish {
	tb.Helper()
	user, err := AppendUser(nil, "traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
	if err == nil {
		user, err = AppendUser(user, "id", "0af76519-16cd-43dd-8448-eb211c80319c")
	}
	if err != nil {
		tb.Fatal(err)
	}
	return &Publish{
		Topic: []byte("devices/4711/data"), QoS: 1, PacketID: 0x8001, Payload: bytes.Repeat([]byte("x"), 256),
		Props: Properties{ContentType: []byte("application/protobuf"), User: user},
	}
}

func TestNoAllocations(t *testing.T) {
	for _, v := range []Version{V311, V5} {
		p := sample(t)
		buf := make([]byte, 0, 1024)
		frame, err := p.Append(nil, v)
		if err != nil {
			t.Fatal(err)
		}
		var (
			got Publish
			ack Ack
			n   int
		)
		ackFrame := []byte("\x40\x02\x00\x01")
		for name, f := range map[string]func(){
			"append":     func() { buf, _ = p.Append(buf[:0], v) },
			"append ack": func() { buf = AppendAck(buf[:0], v, TypePuback, 7, 0) },
			"decode":     func() { h, _, _ := ParseHeader(frame); _ = got.Decode(v, h.First, frame[h.Size:]) },
			"decode ack": func() { h, _, _ := ParseHeader(ackFrame); _ = ack.Decode(v, h.First, ackFrame[h.Size:]) },
			"patch":      func() { SetDup(frame); PatchPacketID(frame, PacketIDOffset(frame), 9) },
			"user": func() {
				for k := range got.Props.UserPairs() {
					n += len(k)
				}
			},
		} {
			if a := testing.AllocsPerRun(100, f); a != 0 {
				t.Errorf("%s %s: %v allocations", v, name, a)
			}
		}
	}
}

func BenchmarkAppend(b *testing.B) {
	for _, v := range []Version{V311, V5} {
		b.Run(v.String(), func(b *testing.B) {
			p, buf := sample(b), make([]byte, 0, 1024)
			b.ReportAllocs()
			for b.Loop() {
				buf, _ = p.Append(buf[:0], v)
			}
		})
	}
}

func BenchmarkDecode(b *testing.B) {
	for _, v := range []Version{V311, V5} {
		b.Run(v.String(), func(b *testing.B) {
			frame, err := sample(b).Append(nil, v)
			if err != nil {
				b.Fatal(err)
			}
			var p Publish
			b.ReportAllocs()
			for b.Loop() {
				h, _, _ := ParseHeader(frame)
				if err := p.Decode(v, h.First, frame[h.Size:]); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkAck(b *testing.B) {
	b.Run("append", func(b *testing.B) {
		buf := make([]byte, 0, 16)
		b.ReportAllocs()
		for b.Loop() {
			buf = AppendAck(buf[:0], V5, TypePuback, 7, 0)
		}
	})
	b.Run("decode", func(b *testing.B) {
		var a Ack
		body := []byte{0, 7}
		b.ReportAllocs()
		for b.Loop() {
			_ = a.Decode(V5, 0x40, body)
		}
	})
}

// BenchmarkCorpus decodes every frame of the corpus, including malformed ones.
// It measures the cost of a hostile stream.
func BenchmarkCorpus(b *testing.B) {
	cases := corpus()
	b.ReportAllocs()
	for b.Loop() {
		for _, c := range cases {
			_, _ = decodeFrame(c.v, []byte(c.frame))
		}
	}
}
