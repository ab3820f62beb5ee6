package link

import (
	"net"
	"testing"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/wire"
)

// The answer to the data plane's PINGREQ is passed to its callback, and the
// next one, to a PINGREQ of the library, to the library.
func TestPingIsNotTheLibrarys(t *testing.T) {
	t.Parallel()
	ours, broker := net.Pipe()
	c := New(ours, newRecorder(), Options{Version: wire.V311})
	defer c.Close()
	defer broker.Close()
	got := reads(c)
	pingreq, pingresp := frame(first(wire.TypePingreq)), frame(first(wire.TypePingresp))
	write := func(b []byte) {
		if _, err := broker.Write(b); err != nil {
			t.Error(err)
		}
	}
	asked := func() {
		b := make([]byte, len(pingreq))
		if _, err := broker.Read(b); err != nil || b[0] != pingreq[0] {
			t.Errorf("% x, %v", b, err)
		}
	}
	write(connack(wire.V311))
	next(t, got)
	answered := make(chan struct{}, 1)
	c.Ping(func() { answered <- struct{}{} })
	c.Wake()
	asked()
	write(pingresp)
	select {
	case <-answered:
	case <-time.After(10 * time.Second):
		t.Fatal("no answer")
	}
	if _, err := c.Write(pingreq); err != nil {
		t.Fatal(err)
	}
	asked()
	write(pingresp)
	if b := next(t, got); b[0] != pingresp[0] {
		t.Errorf("the library read % x", b)
	}
	_ = c.Close()
	c.Ping(func() { t.Error("answered on an ended connection") })
}
