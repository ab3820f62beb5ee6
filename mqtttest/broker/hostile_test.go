package broker_test

import (
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest/broker"
)

func stream(t *testing.T, b *mqtttest.InProcessBroker, send ...[]byte) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", strings.TrimPrefix(b.URL(), "mqtt://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	_ = c.SetDeadline(time.Now().Add(patience))
	for _, p := range send {
		if _, err := c.Write(p); err != nil {
			t.Fatal(err)
		}
	}
	return c
}

// connected reads the CONNACK of an accepted connection.
func connected(t *testing.T, c net.Conn) {
	t.Helper()
	head := make([]byte, 4)
	if _, err := io.ReadFull(c, head); err != nil || head[0] != 0x20 || head[3] != 0 {
		t.Fatalf("CONNACK % x, %v", head, err)
	}
	if _, err := io.CopyN(io.Discard, c, int64(head[1])-2); err != nil {
		t.Fatal(err)
	}
}

// alive checks that the connection answers a PINGREQ, after whatever else.
func alive(c net.Conn) bool {
	if _, err := c.Write(mqtttest.PacketOf(0xC0)); err != nil {
		return false
	}
	var seen []byte
	b := make([]byte, 512)
	for {
		n, err := c.Read(b)
		seen = append(seen, b[:n]...)
		if err != nil {
			return false
		}
		if strings.HasSuffix(string(seen), "\xd0\x00") {
			return true
		}
	}
}

func TestMalformedPacketEndsTheConnectionOnly(t *testing.T) {
	t.Parallel()
	b := mqtttest.InProcess(t)
	for _, p := range hostilePackets() {
		t.Run(p.name, func(t *testing.T) {
			c := stream(t, b, hello(p.version))
			connected(t, c)
			if _, err := c.Write(p.bytes); err != nil {
				t.Fatal(err)
			}
			if got := alive(c); got == p.bad {
				t.Errorf("connection alive: %t", got)
			}
		})
	}
	witness := stream(t, b, hello(4))
	connected(t, witness)
	if !alive(witness) {
		t.Error("broker does not answer")
	}
}

func TestMalformedFirstPacketIsRefused(t *testing.T) {
	t.Parallel()
	b := mqtttest.InProcess(t)
	for name, p := range badConnects() {
		t.Run(name, func(t *testing.T) {
			c := stream(t, b, p)
			if got, err := io.ReadAll(c); errors.Is(err, os.ErrDeadlineExceeded) || len(got) > 0 {
				t.Errorf("answered % x, %v", got, err)
			}
		})
	}
}

func TestTruncatedPackets(t *testing.T) {
	t.Parallel()
	b := mqtttest.InProcess(t)
	for _, p := range hostilePackets() {
		for n := range len(p.bytes) {
			c := stream(t, b, hello(p.version), p.bytes[:n])
			c.Close()
		}
	}
	witness := stream(t, b, hello(4))
	connected(t, witness)
}

func TestPacketOverTheMaximumSize(t *testing.T) {
	t.Parallel()
	b := mqtttest.InProcess(t, broker.MaxPacket(98)) // without its header
	fits := stream(t, b, hello(4), mqtttest.PacketOf(0x30, mqtttest.StringField("a"), make([]byte, 95)))
	connected(t, fits)
	if !alive(fits) {
		t.Error("a packet of exactly the maximum size is refused")
	}
	over := stream(t, b, hello(4))
	connected(t, over)
	if _, err := over.Write(mqtttest.PacketOf(0x30, mqtttest.StringField("a"), make([]byte, 96))); err != nil {
		t.Fatal(err)
	}
	if alive(over) {
		t.Error("a packet over the maximum size is accepted")
	}
}
