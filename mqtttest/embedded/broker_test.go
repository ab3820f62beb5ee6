package embedded

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const patience = time.Minute // for what takes a moment, on a busy machine too

func started(t *testing.T, opts ...Option) *Broker {
	t.Helper()
	b, err := New(opts...)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := b.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	return b
}

func dial(t *testing.T, b *Broker, send ...[]byte) net.Conn {
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
	if _, err := c.Write(frame(0xC0)); err != nil {
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
	b := started(t)
	for _, p := range corpus() {
		t.Run(p.name, func(t *testing.T) {
			c := dial(t, b, hello(p.version))
			connected(t, c)
			if _, err := c.Write(p.bytes); err != nil {
				t.Fatal(err)
			}
			if got := alive(c); got == p.bad {
				t.Errorf("connection alive: %t", got)
			}
		})
	}
	witness := dial(t, b, hello(4))
	connected(t, witness)
	if !alive(witness) {
		t.Error("broker does not answer")
	}
}

func TestMalformedFirstPacketIsRefused(t *testing.T) {
	t.Parallel()
	b := started(t)
	for name, p := range badConnects() {
		t.Run(name, func(t *testing.T) {
			c := dial(t, b, p)
			if got, err := io.ReadAll(c); errors.Is(err, os.ErrDeadlineExceeded) || len(got) > 0 {
				t.Errorf("answered % x, %v", got, err)
			}
		})
	}
}

func TestTruncatedPackets(t *testing.T) {
	t.Parallel()
	b := started(t)
	for _, p := range corpus() {
		for n := range len(p.bytes) {
			c := dial(t, b, hello(p.version), p.bytes[:n])
			c.Close()
		}
	}
	witness := dial(t, b, hello(4))
	connected(t, witness)
}

func TestPacketOverTheMaximumSize(t *testing.T) {
	t.Parallel()
	b := started(t, WithMaximumPacketSize(100))
	fits := dial(t, b, hello(4), frame(0x30, text("a"), make([]byte, 95)))
	connected(t, fits)
	if !alive(fits) {
		t.Error("a packet of exactly the maximum size is refused")
	}
	over := dial(t, b, hello(4), frame(0x30, text("a"), make([]byte, 96)))
	connected(t, over)
	if alive(over) {
		t.Error("a packet over the maximum size is accepted")
	}
}

func TestNewRefusesBadOptions(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		opts []Option
		want []string
	}{
		"all interfaces":     {[]Option{WithAddress(":1883")}, []string{":1883", "loopback"}},
		"any address":        {[]Option{WithAddress("0.0.0.0:1883")}, []string{"0.0.0.0:1883"}},
		"other machine":      {[]Option{WithAddress("192.0.2.1:1883")}, []string{"192.0.2.1:1883"}},
		"no port":            {[]Option{WithAddress("127.0.0.1")}, []string{"127.0.0.1", "port"}},
		"TLS without config": {[]Option{WithTLS("127.0.0.1:0", nil)}, []string{"TLS"}},
		"all at once": {
			[]Option{WithAddress(":1"), WithWebSocket(":2", nil), WithMaximumPacketSize(0), WithMaximumClients(0), WithLogger(nil)},
			[]string{":1", ":2", "packet", "clients", "logger"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := New(test.opts...)
			if err == nil {
				t.Fatal("accepted")
			}
			for _, part := range test.want {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("error %q does not tell %q", err, part)
				}
			}
		})
	}
	if _, err := New(WithAddress(":1883")); !errors.Is(err, ErrNotLoopback) {
		t.Errorf("%v is not ErrNotLoopback", err)
	}
	if _, err := New(WithAddress(":0"), AllowNonLoopback()); err != nil {
		t.Errorf("allowed address refused: %v", err)
	}
}

func TestStartReportsTheTakenAddress(t *testing.T) {
	t.Parallel()
	first := started(t)
	address := strings.TrimPrefix(first.URL(), "mqtt://")
	b, err := New(WithAddress(address))
	if err != nil {
		t.Fatal(err)
	}
	err = b.Start(t.Context())
	var system *net.OpError
	if !errors.As(err, &system) || !strings.Contains(err.Error(), address) {
		t.Errorf("error %v", err)
	}
	if err := b.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestLifeCycle(t *testing.T) {
	t.Parallel()
	b := started(t)
	url := b.URL()
	if err := b.Start(t.Context()); err == nil {
		t.Error("started twice")
	}
	c := dial(t, b, connect(4, 0, text("keeper")), frame(0x82, []byte{0, 1}, text("a/#"), []byte{1}), frame(0x31, text("kept"), []byte("x")))
	connected(t, c)
	if !alive(c) {
		t.Fatal("no answer")
	}
	want := Client{ID: "keeper", Connected: true, ProtocolVersion: 4, Filters: []string{"a/#"}}
	if got := b.Clients(); len(got) != 1 || got[0].ID != want.ID || !got[0].Connected || got[0].ProtocolVersion != 4 || len(got[0].Filters) != 1 {
		t.Errorf("clients %+v, want %+v", got, want)
	}

	for _, keep := range []bool{true, false} {
		if err := b.Restart(t.Context(), keep); err != nil {
			t.Fatal(err)
		}
		if alive(c) {
			t.Error("connection survived a restart")
		}
		if b.URL() != url {
			t.Errorf("address changed from %s to %s", url, b.URL())
		}
		if got := len(b.Clients()); (got == 1) != keep {
			t.Errorf("restart keeping %t: %d sessions", keep, got)
		}
		if got := len(b.Retained()); (got == 1) != keep {
			t.Errorf("restart keeping %t: %d retained messages", keep, got)
		}
	}
	if err := b.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if b.Clients() != nil || b.Retained() != nil || b.Dropped() != 0 || b.Kick("keeper") {
		t.Error("a closed broker remembers")
	}
	if err := b.Start(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestKick(t *testing.T) {
	t.Parallel()
	b := started(t)
	c := dial(t, b, hello(4))
	connected(t, c)
	if b.Kick("nobody") || !b.Kick("c") {
		t.Error("kicked the wrong one")
	}
	if alive(c) {
		t.Error("still connected")
	}
}

func TestServerTellsMQTT5ClientsThatItStops(t *testing.T) {
	t.Parallel()
	b := started(t)
	five, four := dial(t, b, hello(5)), dial(t, b, connect(4, 2, text("four")))
	connected(t, five)
	connected(t, four)
	if err := b.Suspend(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got, _ := io.ReadAll(five); len(got) < 3 || got[0] != 0xE0 || got[2] != 0x8B {
		t.Errorf("MQTT 5 client received % x, want DISCONNECT 0x8B", got)
	}
	if got, _ := io.ReadAll(four); len(got) != 0 {
		t.Errorf("MQTT 3.1.1 client received % x", got)
	}
}
