package broker_test

import (
	"bytes"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest/broker"
)

// deaf is a client without keep-alive that reads nothing, to which more was sent
// than sockets hold.
func deaf(t *testing.T, b *mqtttest.InProcessBroker) net.Conn {
	t.Helper()
	hello := connectOf(4, persistent, mqtttest.StringField("deaf"))
	hello[10], hello[11] = 0, 0
	c := stream(t, b, hello, subscribeOf("big"))
	if err := c.(*net.TCPConn).SetReadBuffer(4 << 10); err != nil {
		t.Fatal(err)
	}
	connected(t, c)
	pub := connect(t, b, 5, "pub", true)
	for range 20 {
		pub.publish(0, "big", 0, strings.Repeat("x", 1<<20))
	}
	pub.goodbye()
	return c
}

func soon(t *testing.T, what string, f func()) {
	t.Helper()
	done := make(chan struct{})
	go func() { defer close(done); f() }()
	select {
	case <-done:
	case <-time.After(patience):
		t.Fatalf("%s has not returned after %v", what, patience)
	}
}

func TestStopDoesNotWaitForAClientThatDoesNotRead(t *testing.T) {
	t.Parallel()
	b := mqtttest.InProcess(t)
	deaf(t, b)
	soon(t, "Stop", b.Stop)
}

// A connection that was taken over ends, whatever its client does.
func TestTakenOverConnectionEndsThoughItsClientDoesNotRead(t *testing.T) {
	t.Parallel()
	b := mqtttest.InProcess(t, broker.MaxConnections(2))
	c := deaf(t, b)
	if _, err := c.Write([]byte{0xC0, 0}); err != nil { // the broker waits for room after it
		t.Fatal(err)
	}
	for _, id := range []string{"deaf", "other"} { // there is room for them, in the end
		mqtttest.Eventually(t, patience, func() bool {
			next := stream(t, b, connectOf(4, persistent, mqtttest.StringField(id)))
			_ = next.SetReadDeadline(time.Now().Add(time.Second))
			_, err := io.ReadFull(next, make([]byte, 4))
			return err == nil
		})
	}
}

func TestEndlessRequestOfAWebSocketIsRefused(t *testing.T) {
	t.Parallel()
	b := mqtttest.InProcess(t, broker.WithWebSocket("127.0.0.1:0", nil))
	c, err := net.Dial("tcp", strings.TrimSuffix(strings.TrimPrefix(b.WebSocketURL(), "ws://"), "/mqtt"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(patience))
	if _, err := c.Write([]byte("GET /mqtt HTTP/1.1\r\n")); err != nil {
		t.Fatal(err)
	}
	lines := bytes.Repeat([]byte("X-A: "+strings.Repeat("b", 1000)+"\r\n"), 1000)
	for sent := 0; sent < 64<<20; sent += len(lines) {
		if _, err := c.Write(lines); err != nil {
			return
		}
	}
	t.Fatal("all of a header of 64 MiB was taken")
}
