package badinput_test

import (
	"bytes"
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-kratos/kratos/v2/log"
	"github.com/tx7do/kratos-transport/broker"

	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
	mqttserver "github.com/kratos-mqtt/kratos-mqtt/transport/mqtt"
)

// patience bounds what is expected to happen soon.
const patience = time.Minute

// peer is a scripted broker. Unless the script does something else, it answers CONNECT and
// SUBSCRIBE, and acknowledges and records published messages.
type peer struct {
	*mqtttest.Scripted
	version byte
	// script may take over the n-th connection, counted from 1, at a point: "connack", "suback"
	// or "ready". It reports whether it did.
	script func(c net.Conn, n int, when string) bool

	// refusal, if set, holds the properties of the PUBACK that refuses messages of the client.
	refusal []byte
	// forgets disables the recording of published messages.
	forgets bool
	refused atomic.Int64

	connections atomic.Int64
	mu          sync.Mutex
	published   []mqtttest.Packet
	live        net.Conn
}

func newPeer(t testing.TB, version byte, script func(c net.Conn, n int, when string) bool) *peer {
	t.Helper()
	p := &peer{version: version, script: script}
	p.Scripted = mqtttest.ScriptedBroker(t, p.serve)
	return p
}

func (p *peer) serve(c net.Conn) {
	n := int(p.connections.Add(1))
	for {
		packet, err := mqtttest.ReadPacket(c)
		if err != nil {
			return
		}
		switch packet.Type() {
		case mqtttest.TypeConnect:
			if p.script(c, n, "connack") {
				return
			}
			_, _ = c.Write(mqtttest.ConnackPacket(p.version, false, 0))
		case mqtttest.TypeSubscribe:
			if p.script(c, n, "suback") {
				return
			}
			p.mu.Lock()
			p.live = c
			p.mu.Unlock()
			_, _ = c.Write(mqtttest.SubackPacket(p.version, packet.ID(), 1))
			if p.script(c, n, "ready") {
				return
			}
		case mqtttest.TypePingreq:
			_, _ = c.Write([]byte{0xD0, 0})
		case mqtttest.TypePublish:
			p.keep(c, packet)
		case mqtttest.TypePuback:
			p.mu.Lock()
			p.published = append(p.published, packet)
			p.mu.Unlock()
		}
	}
}

// keep records a PUBLISH of the client, which is a dead letter in these tests, and acknowledges
// it.
func (p *peer) keep(c net.Conn, packet mqtttest.Packet) {
	if !p.forgets {
		p.mu.Lock()
		p.published = append(p.published, packet)
		p.mu.Unlock()
	}
	if p.refusal != nil {
		p.refused.Add(1)
		_, _ = c.Write(mqtttest.PacketOf(0x40, mqtttest.Uint16Field(packet.ID()), []byte{0x87}, p.refusal))
		return
	}
	if packet.QoS() > 0 {
		_, _ = c.Write(mqtttest.AckPacket(mqtttest.TypePuback, packet.ID()))
	}
}

// seen returns the PUBLISH and PUBACK packets of the client, in order.
func (p *peer) seen() []mqtttest.Packet {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]mqtttest.Packet(nil), p.published...)
}

// send writes to the subscriber.
func (p *peer) send(t testing.TB, data []byte) {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, err := p.live.Write(data); err != nil {
		t.Fatal(err)
	}
}

// closed reports whether the client ends the connection.
func closed(c net.Conn) bool {
	_ = c.SetReadDeadline(time.Now().Add(patience))
	for {
		if _, err := mqtttest.ReadPacket(c); err != nil {
			var timeout net.Error
			return !errors.As(err, &timeout) || !timeout.Timeout()
		}
	}
}

// logs records log lines.
type logs struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logs) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(b)
}

func (l *logs) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// client returns a server that is not started, and its log. The server is stopped at the end of
// the test.
func client(t testing.TB, url string, version byte, opts ...mqttserver.ServerOption) (*mqttserver.Server, *logs) {
	t.Helper()
	out := new(logs)
	protocol := map[byte]string{4: "3.1.1", 5: "5"}[version]
	srv := mqttserver.NewServer(append([]mqttserver.ServerOption{
		mqttserver.WithAddress([]string{url}),
		mqttserver.WithCodec("json"),
		mqttserver.WithBrokerOptions(mqttbroker.WithKratosLogger(log.NewStdLogger(out)),

			mqttbroker.WithProtocol(protocol),
			mqttbroker.WithConnectRetryInterval(time.Millisecond),
			mqttbroker.WithMaxReconnectInterval(2*time.Millisecond)),
	}, opts...)...)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := srv.Stop(ctx); err != nil {
			t.Errorf("stop: %v", err)
		}
		if t.Failed() {
			t.Logf("log:\n%s", out)
		}
	})
	return srv, out
}

// handle registers a handler of one type for a filter.
func handle[T any](t testing.TB, srv *mqttserver.Server, filter string, h func(context.Context, *T) error, opts ...broker.SubscribeOption) {
	t.Helper()
	err := mqttserver.RegisterSubscriber(srv, t.Context(), filter,
		func(ctx context.Context, _ string, _ broker.Headers, m *T) error { return h(ctx, m) }, opts...)
	if err != nil {
		t.Fatal(err)
	}
}

// start starts a client and waits until every filter is granted.
func start(t testing.TB, srv *mqttserver.Server) {
	t.Helper()
	if err := srv.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	wait(t, srv)
}

func wait(t testing.TB, srv *mqttserver.Server) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := srv.WaitReady(ctx); err != nil {
		t.Fatalf("not ready: %v", err)
	}
}
