package mqtttest

import (
	"errors"
	"io"
	"net"
	"net/url"
	"os"
	"testing"
	"time"
)

// rawTimeout limits every wait of a [RawClient].
const rawTimeout = 10 * time.Second

// RawClient exchanges packets, valid or not, with a broker. Its methods fail the test if the
// broker does not answer as expected; they must be called from the goroutine of the test.
type RawClient struct {
	net.Conn
	tb testing.TB
}

// Raw connects to a plain address, the URL of a broker or host:port, and sends nothing. The
// connection is closed at the end of the test.
func Raw(tb testing.TB, address string) *RawClient {
	tb.Helper()
	if u, err := url.Parse(address); err == nil && u.Host != "" {
		address = u.Host
	}
	c, err := net.DialTimeout("tcp", address, rawTimeout)
	if err != nil {
		tb.Fatalf("mqtttest: %v", err)
	}
	tb.Cleanup(func() { _ = c.Close() })
	return &RawClient{Conn: c, tb: tb}
}

// Send writes bytes: packets made by the functions of this package, parts of packets, or
// anything else.
func (c *RawClient) Send(packets ...[]byte) {
	c.tb.Helper()
	for _, p := range packets {
		_ = c.SetWriteDeadline(time.Now().Add(rawTimeout))
		if _, err := c.Write(p); err != nil {
			c.tb.Fatalf("mqtttest: send: %v", err)
		}
	}
}

// Expect reads the next packet, which must have the given type, and returns it.
func (c *RawClient) Expect(want PacketType) Packet {
	c.tb.Helper()
	_ = c.SetReadDeadline(time.Now().Add(rawTimeout))
	p, err := ReadPacket(c)
	if err != nil {
		c.tb.Fatalf("mqtttest: waiting for %v: %v", want, err)
	}
	if p.Type() != want {
		c.tb.Fatalf("mqtttest: received %v, want %v", p, want)
	}
	return p
}

// ExpectClosed reads until the broker ends the connection in any way.
func (c *RawClient) ExpectClosed() {
	c.tb.Helper()
	_ = c.SetReadDeadline(time.Now().Add(rawTimeout))
	if _, err := io.Copy(io.Discard, c); errors.Is(err, os.ErrDeadlineExceeded) {
		c.tb.Fatalf("mqtttest: connection not closed within %v", rawTimeout)
	}
}

// ExpectSilence fails the test if anything arrives within d.
func (c *RawClient) ExpectSilence(d time.Duration) {
	c.tb.Helper()
	_ = c.SetReadDeadline(time.Now().Add(d))
	p, err := ReadPacket(c)
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		c.tb.Fatalf("mqtttest: silence expected, received %v (%v)", p, err)
	}
}

// Connect sends a CONNECT and expects a CONNACK that accepts it. version is 4 for MQTT 3.1.1
// and 5 for MQTT 5. It reports whether the session was present.
func (c *RawClient) Connect(version byte, clientID string, clean bool) (sessionPresent bool) {
	c.tb.Helper()
	c.Send(ConnectPacket(version, clientID, clean))
	p := c.Expect(TypeConnack)
	if len(p.Body) < 2 || p.Body[1] != 0 {
		c.tb.Fatalf("mqtttest: connection refused: CONNACK % x", p.Body)
	}
	return p.Body[0]&1 != 0
}
