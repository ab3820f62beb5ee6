package session

import (
	"context"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/link"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/wire"
	tables "github.com/kratos-mqtt/kratos-mqtt/internal/test/badinput"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
)

// script is a socket that answers CONNECT and SUBSCRIBE with given bytes and
// then ends.
type script struct {
	net.Conn // one end of a pipe, for the other methods
	answers  [2][]byte
	asked    [2]chan struct{}
	once     [2]sync.Once
	closed   chan struct{}
	closing  sync.Once
	next     int
}

func newScript(connack, suback []byte) *script {
	near, _ := net.Pipe()
	return &script{
		Conn: near, answers: [2][]byte{connack, suback}, closed: make(chan struct{}),
		asked: [2]chan struct{}{make(chan struct{}), make(chan struct{})},
	}
}

// unasked is how long an answer waits for its request. A client that is still
// waiting for the first answer then receives the second one, too.
const unasked = 5 * time.Millisecond

func (s *script) Read(p []byte) (int, error) {
	for s.next < len(s.answers) {
		select {
		case <-s.asked[s.next]:
		case <-time.After(unasked):
		case <-s.closed:
			return 0, io.ErrClosedPipe
		}
		if rest := s.answers[s.next]; len(rest) > 0 {
			n := copy(p, rest)
			s.answers[s.next] = rest[n:]
			return n, nil
		}
		s.next++
	}
	return 0, io.EOF
}

func (s *script) Write(p []byte) (int, error) {
	select {
	case <-s.closed:
		return 0, io.ErrClosedPipe
	default:
	}
	for i, first := range []byte{0x10, 0x82} {
		if len(p) > 0 && p[0] == first {
			s.once[i].Do(func() { close(s.asked[i]) })
		}
	}
	return len(p), nil
}

func (s *script) Close() error {
	s.closing.Do(func() { close(s.closed) })
	return s.Conn.Close()
}

func (*script) SetDeadline(time.Time) error      { return nil }
func (*script) SetReadDeadline(time.Time) error  { return nil }
func (*script) SetWriteDeadline(time.Time) error { return nil }

// FuzzHandshake answers the client libraries behind the link with arbitrary
// CONNACKs and SUBACKs: nothing may panic or hang, and what is accepted must be
// well formed.
func FuzzHandshake(f *testing.F) {
	for _, version := range []byte{4, 5} {
		good := mqtttest.ConnackPacket(version, false, 0)
		f.Add(version, good, mqtttest.SubackPacket(version, 1, 1))
		f.Add(version, good, mqtttest.SubackPacket(version, 1, 0x80))
		f.Add(version, good, append(mqtttest.SubackPacket(version, 1, 1), 0xE0, 0))
		f.Add(version, mqtttest.ConnackPacket(version, true, 5), []byte{})
	}
	rows, err := tables.Packets()
	if err != nil {
		f.Fatal(err)
	}
	for _, row := range rows {
		for _, version := range row.Versions {
			switch row.When {
			case "connack":
				f.Add(version, row.Bytes, []byte{})
			default:
				f.Add(version, mqtttest.ConnackPacket(version, false, 0), row.Bytes)
			}
		}
	}
	f.Fuzz(func(t *testing.T, version byte, connack, suback []byte) {
		v := wire.V311
		if version == 5 {
			v = wire.V5
		}
		s, err := New(config(t, "mqtt://127.0.0.1:1", speaking(Protocol(v))))
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close(t.Context())
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		c := newConn(s, v, 0)
		c.link = link.New(newScript(connack, suback), c, link.Options{Version: v})
		ctl := newControl(&s.cfg, c)
		err = ctl.connect(ctx, c.link, credentials{})
		if err == nil && c.connack.Reason == 0 {
			checkHandshake(ctx, t, v, ctl, connack, suback)
		}
		drop(c, ctl)
		if ctx.Err() != nil {
			t.Fatal("it did not end")
		}
	})
}

func checkHandshake(ctx context.Context, t *testing.T, v wire.Version, ctl control, connack, suback []byte) {
	t.Helper()
	all := append(append([]byte(nil), connack...), suback...)
	h, ok, err := wire.ParseHeader(all)
	var k wire.Connack
	if !ok || err != nil || len(all) < h.Total() || h.Validate() != nil || k.Decode(v, all[h.Size:h.Total()]) != nil || k.Reason != 0 {
		t.Fatalf("connected by % x", all)
	}
	answers, err := ctl.subscribe(ctx, []Filter{{Filter: "a", QoS: 1}})
	if err == nil && (len(answers) != 1 || answers[0].code > 2 && answers[0].code < codeFailed) {
		t.Fatalf("subscribed by % x: %v", all, answers)
	}
}
