package link

import (
	"bytes"
	"io"
	"net"
	"testing"

	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/wire"
)

// stream is a socket that delivers given bytes in pieces and discards writes.
type stream struct {
	net.Conn // one end of a pipe, for deadlines and closing
	in       []byte
	piece    int
}

func (s *stream) Read(p []byte) (int, error) {
	if len(s.in) == 0 {
		return 0, io.EOF
	}
	n := copy(p, s.in[:min(s.piece, len(s.in))])
	s.in = s.in[n:]
	return n, nil
}

func (s *stream) Write(p []byte) (int, error) { return len(p), nil }

// FuzzRead reads arbitrary bytes of a broker. The result consists of exactly
// the frames that were sent, in order, and none exceeds the limit.
func FuzzRead(f *testing.F) {
	for _, tc := range refused {
		f.Add(bytes.Join(tc.sent, nil), uint8(3), false)
	}
	for _, v := range versions {
		f.Add(bytes.Join([][]byte{connack(v), publish(1, 9), suback(v, wire.TypeSuback, 1, 2), pingresp, ack(wire.TypePubrel, 1)}, nil), uint8(200), v == wire.V5)
		f.Add(append(connack(v), publish(1, 3000)...), uint8(255), v == wire.V5)
	}
	f.Fuzz(func(t *testing.T, sent []byte, piece uint8, five bool) {
		const limit = 2000
		v := wire.V311
		if five {
			v = wire.V5
		}
		near, far := net.Pipe()
		defer far.Close()
		rec := newRecorder()
		var c *Conn
		var order [][]byte // frames and packets, in the order of arrival
		rec.onConnack = func(byte, []byte) error { return nil }
		rec.onFrame = func(first byte, body []byte) error {
			order = append(order, canonical(first, body))
			if len(body) > limit || !wire.Type(first>>4).Data() {
				t.Errorf("frame %x of %d bytes", first, len(body))
			}
			return nil
		}
		c = New(&stream{Conn: near, in: sent, piece: 1 + int(piece)}, rec, Options{Version: v, MaxPacketSize: limit, ReadBuffer: 256})
		for id := uint16(1); id < 4; id++ {
			_, _ = c.Write(subscribe(v, wire.TypeSubscribe, id, 2))
			_, _ = c.Write(subscribe(v, wire.TypeUnsubscribe, id, 1))
		}
		got := drainLibrary(c, &order)
		rec.ended(t, c)
		if len(got) > len(sent) {
			t.Errorf("the library got %d bytes of %d", len(got), len(sent))
		}
		checkOrder(t, sent, order)
	})
}

// drainLibrary reads as the library would, byte by byte, and records whole
// packets.
func drainLibrary(c *Conn, order *[][]byte) (all []byte) {
	var packet []byte
	for b := make([]byte, 1); ; {
		if _, err := c.Read(b); err != nil {
			return all
		}
		all, packet = append(all, b[0]), append(packet, b[0])
		if h, ok, _ := wire.ParseHeader(packet); ok && len(packet) == h.Total() {
			*order = append(*order, canonical(h.First, packet[h.Size:]))
			packet = nil
		}
	}
}

// canonical returns a packet without its length, which may be encoded in
// several ways.
func canonical(first byte, body []byte) []byte { return append([]byte{first}, body...) }

func checkOrder(t *testing.T, sent []byte, order [][]byte) {
	t.Helper()
	for i, got := range order {
		h, ok, err := wire.ParseHeader(sent)
		if !ok || err != nil || len(sent) < h.Total() {
			t.Fatalf("packet %d was never sent: %x", i, got)
		}
		if want := canonical(h.First, sent[h.Size:h.Total()]); !bytes.Equal(got, want) {
			t.Fatalf("packet %d is %x, sent was %x", i, got, want)
		}
		sent = sent[h.Total():]
	}
}

// FuzzWrite writes arbitrary bytes as a library would. The peer receives whole
// packets of the library, or nothing.
func FuzzWrite(f *testing.F) {
	f.Add(append(bytes.Clone(connect), pingreq...), uint8(3), false)
	f.Add(subscribe(wire.V5, wire.TypeSubscribe, 1, 3), uint8(1), true)
	f.Add(publish(1, 9), uint8(9), true)
	f.Add(disconnect, uint8(0), true)
	f.Fuzz(func(t *testing.T, sent []byte, piece uint8, five bool) {
		v := wire.V311
		if five {
			v = wire.V5
		}
		near, far := net.Pipe()
		defer far.Close()
		rec := newRecorder()
		c := New(near, rec, Options{Version: v})
		got := make(chan []byte, 1)
		go func() { b, _ := io.ReadAll(far); got <- b }()
		for rest := sent; len(rest) > 0; {
			n := min(len(rest), 1+int(piece))
			if _, err := c.Write(rest[:n]); err != nil {
				break
			}
			rest = rest[n:]
		}
		_ = c.Close()
		arrived := <-got
		rec.ended(t, c)
		if !bytes.HasPrefix(sent, arrived) {
			t.Fatalf("sent %x, arrived %x", sent, arrived)
		}
		for len(arrived) > 0 {
			h, ok, err := wire.ParseHeader(arrived)
			if !ok || err != nil || len(arrived) < h.Total() || h.Type().Data() {
				t.Fatalf("arrived %x", arrived)
			}
			arrived = arrived[h.Total():]
		}
	})
}
