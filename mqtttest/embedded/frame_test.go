package embedded

import (
	"bytes"
	"errors"
	"io"
	"net"
	"testing"

	"github.com/mochi-mqtt/server/v2/packets"
)

func TestCheckerJudgesTheCorpus(t *testing.T) {
	t.Parallel()
	for _, p := range corpus() {
		_, err := through(append(hello(p.version), p.bytes...), DefaultMaximumPacketSize)
		if bad := errors.Is(err, errMalformed) || errors.Is(err, errTooLarge); bad != p.bad {
			t.Errorf("%s: %v", p.name, err)
		}
	}
}

// through returns what of a stream a checked connection lets through.
func through(stream []byte, maximum uint32) ([]byte, error) {
	c := newCheckedConn(source{r: bytes.NewReader(stream)}, maximum)
	return io.ReadAll(c)
}

// source is a connection that delivers a stream.
type source struct {
	net.Conn
	r io.Reader
}

func (s source) Read(p []byte) (int, error) { return s.r.Read(p) }

// FuzzCheckedConn holds what the checker lets through against the library's
// decoder: nothing of it may panic there.
func FuzzCheckedConn(f *testing.F) {
	for _, p := range corpus() {
		f.Add(append(hello(p.version), p.bytes...))
	}
	for _, p := range badConnects() {
		f.Add(p)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		passed, _ := through(data, 4096)
		if !bytes.HasPrefix(data, passed) {
			t.Fatalf("changed % x to % x", data, passed)
		}
		decode(t, passed)
	})
}

// decode runs the library's decoder over whole packets.
func decode(t *testing.T, stream []byte) {
	version := byte(4)
	for len(stream) > 0 {
		r := bytes.NewReader(stream[1:])
		size, _, err := packets.DecodeLength(r)
		if err != nil {
			t.Fatalf("passed half a header: % x", stream)
		}
		start := len(stream) - r.Len()
		if start+size > len(stream) {
			t.Fatalf("passed half a packet: % x", stream)
		}
		pk := packets.Packet{ProtocolVersion: version}
		if pk.FixedHeader.Decode(stream[0]) == nil {
			pk.FixedHeader.Remaining = size
			decodeBody(&pk, bytes.Clone(stream[start:start+size]))
			version = pk.ProtocolVersion
		}
		stream = stream[start+size:]
	}
}

func decodeBody(pk *packets.Packet, body []byte) {
	switch pk.FixedHeader.Type {
	case packets.Connect:
		_ = pk.ConnectDecode(body)
	case packets.Publish:
		_ = pk.PublishDecode(body)
	case packets.Puback:
		_ = pk.PubackDecode(body)
	case packets.Pubrec:
		_ = pk.PubrecDecode(body)
	case packets.Pubrel:
		_ = pk.PubrelDecode(body)
	case packets.Pubcomp:
		_ = pk.PubcompDecode(body)
	case packets.Subscribe:
		_ = pk.SubscribeDecode(body)
	case packets.Unsubscribe:
		_ = pk.UnsubscribeDecode(body)
	case packets.Disconnect:
		_ = pk.DisconnectDecode(body)
	case packets.Auth:
		_ = pk.AuthDecode(body)
	}
}
