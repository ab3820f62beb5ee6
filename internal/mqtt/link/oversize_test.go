package link

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"testing"

	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/wire"
)

// tolerant is a recorder that implements OversizeReceiver.
type tolerant struct {
	*recorder
	heads []string
}

func (r *tolerant) Oversize(first byte, head []byte, s Skipped) error {
	r.heads = append(r.heads, fmt.Sprintf("%x %q %d", first, head, s.Packet))
	return nil
}

// The payload of a message over the limit is skipped and the connection stays.
func TestOversizeIsSkipped(t *testing.T) {
	t.Parallel()
	large := func(first byte, head string) []byte {
		return frame(first, append([]byte(head), make([]byte, 3000)...)...)
	}
	for name, tt := range map[string]struct {
		sent []byte
		want string
	}{
		"QoS 0":           {large(0x30, "\x00\x01t"), `30 "\x00\x01t" 3006`},
		"QoS 1":           {large(0x32, "\x00\x01t\x00\x07"), `32 "\x00\x01t\x00\a" 3008`},
		"QoS 2 and DUP":   {large(0x3C, "\x00\x03a/b\xff\xff"), `3c "\x00\x03a/b\xff\xff" 3010`},
		"empty topic":     {large(0x30, "\x00\x00"), `30 "\x00\x00" 3005`},
		"topic too long":  {frame(0x30, append([]byte("\xff\xff"), bytes.Repeat([]byte("t"), 2100)...)...), fmt.Sprintf("30 %q 2105", "\xff\xff"+string(bytes.Repeat([]byte("t"), 2100)))},
		"long but within": {frame(0x30, append([]byte("\x03\xe8"), make([]byte, 3000)...)...), fmt.Sprintf("30 %q 3005", "\x03\xe8"+string(make([]byte, 1000)))},
	} {
		for _, piece := range []int{1, 7, 300, 10_000} {
			near, far := net.Pipe()
			rec := &tolerant{recorder: newRecorder()}
			sent := bytes.Join([][]byte{connack(wire.V311), publish(1, 9), tt.sent, publish(2, 9), tt.sent, pingresp}, nil)
			c := New(&stream{Conn: near, in: sent, piece: piece}, rec, Options{MaxPacketSize: 2000, ReadBuffer: 256})
			got, err := io.ReadAll(readerOnly{c})
			if err != nil && !errors.Is(err, io.EOF) {
				t.Errorf("%s: %v", name, err)
			}
			if want := append(connack(wire.V311), pingresp...); !bytes.Equal(got, want) {
				t.Errorf("%s in pieces of %d: the library got %x", name, piece, got)
			}
			if want := append(publish(1, 9), publish(2, 9)...); !bytes.Equal(rec.received(), want) {
				t.Errorf("%s in pieces of %d: frames %x", name, piece, rec.received())
			}
			if len(rec.heads) != 2 || rec.heads[0] != tt.want || rec.heads[1] != tt.want {
				t.Errorf("%s in pieces of %d: %v, want %s twice", name, piece, rec.heads, tt.want)
			}
			_ = far.Close()
			c.Abort(nil)
			<-c.Done()
		}
	}
}

// Packets of other types over the limit end the connection.
func TestOversizeThatIsRefused(t *testing.T) {
	t.Parallel()
	for name, sent := range map[string][]byte{
		"PUBACK on 5":     append(connack(wire.V5), frame(0x40, make([]byte, 3000)...)...),
		"PUBACK on 3.1.1": append(connack(wire.V311), frame(0x40, make([]byte, 3000)...)...),
		"before CONNACK":  publish(1, 3000),
		"flags of QoS 3":  append(connack(wire.V311), frame(0x36, make([]byte, 3000)...)...),
	} {
		v := wire.V311
		if name == "PUBACK on 5" {
			v = wire.V5
		}
		near, far := net.Pipe()
		rec := &tolerant{recorder: newRecorder()}
		c := New(&stream{Conn: near, in: sent, piece: 100}, rec, Options{Version: v, MaxPacketSize: 2000})
		if _, err := io.ReadAll(readerOnly{c}); err == nil || errors.Is(err, io.EOF) || len(rec.heads) > 0 {
			t.Errorf("%s: %v, %v", name, err, rec.heads)
		}
		_ = far.Close()
		rec.ended(t, c)
	}
}
