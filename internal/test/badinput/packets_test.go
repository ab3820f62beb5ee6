package badinput_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/wire"
	"github.com/kratos-mqtt/kratos-mqtt/internal/test/badinput"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
	mqttserver "github.com/kratos-mqtt/kratos-mqtt/transport/mqtt"
)

type reading struct {
	Celsius float64 `json:"celsius"`
}

// TestMalformedPacketsReachNobody sends every packet of the table to a client. The client ends the
// connection, Health reports the reason, no handler runs, and the client reconnects. A complete QoS
// 0 message with ill-formed text is dropped and counted instead, because its publisher must not be
// able to end connections.
func TestMalformedPacketsReachNobody(t *testing.T) {
	t.Parallel()
	rows, err := badinput.Packets()
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range rows {
		for _, version := range row.Versions {
			t.Run(fmt.Sprintf("%s/%d/%s/%s", row.Type, version, row.Rule, row.Case), func(t *testing.T) {
				t.Parallel()
				if droppable(row, version) {
					dropped(t, row, version)
					return
				}
				refused(t, row, version)
			})
		}
	}
}

// droppable reports whether the packet is a complete QoS 0 message in which only a text is
// ill-formed.
func droppable(row badinput.Packet, version byte) bool {
	h, ok, err := wire.ParseHeader(row.Bytes)
	if err != nil || !ok || h.Type() != wire.TypePublish || row.Bytes[0]&0x06 != 0 || h.Total() > len(row.Bytes) {
		return false
	}
	var p wire.Publish
	v, body := wire.Version(version), row.Bytes[h.Size:h.Total()]
	malformed, ok := errors.AsType[*wire.MalformedError](p.Decode(v, row.Bytes[0], body))
	return ok && malformed.Text && p.DecodeAnyText(v, row.Bytes[0], body) == nil
}

func dropped(t *testing.T, row badinput.Packet, version byte) {
	t.Helper()
	p := newPeer(t, version, func(c net.Conn, _ int, when string) bool {
		if when == row.When {
			_, _ = c.Write(row.Bytes)
		}
		return false
	})
	srv, _ := client(t, p.URL(), version)
	handle(t, srv, "t", func(context.Context, *reading) error {
		t.Error("a handler ran")
		return nil
	})
	if err := srv.Start(t.Context()); err != nil {
		t.Errorf("start: %v", err)
	}
	mqtttest.Eventually(t, patience, func() bool { return srv.Health().IllFormed == 1 })
	if h := srv.Health(); !h.Connected || h.LastError != nil || h.LastLoss != nil {
		t.Errorf("%+v", h)
	}
	if n := p.connections.Load(); n != 1 {
		t.Errorf("%d connections", n)
	}
}

func refused(t *testing.T, row badinput.Packet, version byte) {
	t.Helper()
	var stayed atomic.Bool
	seen := make(chan struct{})
	release := sync.OnceFunc(func() { close(seen) })
	defer release()
	p := newPeer(t, version, func(c net.Conn, n int, when string) bool {
		switch {
		case n == 1 && when == row.When:
			_, _ = c.Write(row.Bytes)
			stayed.Store(!closed(c))
			return true
		case n > 1 && when == "connack":
			<-seen // until Health has been checked
		}
		return false
	})
	srv, out := client(t, p.URL(), version)
	handle(t, srv, "t", func(context.Context, *reading) error {
		t.Error("a handler ran")
		return nil
	})
	if err := srv.Start(t.Context()); err != nil {
		t.Errorf("start: %v", err)
	}
	var last error
	mqtttest.Eventually(t, patience, func() bool { last = srv.Health().LastError; return last != nil })
	release()
	wait(t, srv)
	checkRefusal(t, row, last)
	if h := srv.Health(); h.LastError != nil || !h.Connected {
		t.Errorf("after the next connection: %+v", h)
	}
	if n := p.connections.Load(); n < 2 {
		t.Errorf("%d connections", n)
	}
	if stayed.Load() {
		t.Error("the client did not end the connection")
	}
	if len(p.seen()) > 0 {
		t.Errorf("the client sent %v", p.seen())
	}
	if text := out.String(); strings.Contains(text, "panic") {
		t.Error("something panicked")
	}
}

func checkRefusal(t *testing.T, row badinput.Packet, last error) {
	t.Helper()
	var e *event.Error
	if !errors.As(last, &e) || e.Reason != event.ReasonNetwork {
		t.Errorf("Health says %T %v", last, last)
	}
	want := row.Want
	if row.Decoder {
		want = "malformed " + strings.Replace(row.Type, "RESERVED", "packet", 1) + ": " + row.Want + " [" + row.Rule + "]"
	}
	if !strings.Contains(last.Error(), want) {
		t.Errorf("Health says %v, want %s", last, want)
	}
}

// TestClaimsTakeNoMemory: a length without its data allocates nothing.
func TestClaimsTakeNoMemory(t *testing.T) {
	rows, err := badinput.Packets()
	if err != nil {
		t.Fatal(err)
	}
	const most = 2 << 20 // bytes, for two connections and their surroundings
	n := 0
	for _, row := range rows {
		if !strings.Contains(row.Case, "claims") && !strings.Contains(row.Case, "256 MiB") {
			continue
		}
		for _, version := range row.Versions {
			n++
			t.Run(fmt.Sprintf("%s/%d/%s", row.Type, version, row.Case), func(t *testing.T) {
				var before, after runtime.MemStats
				runtime.ReadMemStats(&before)
				refused(t, row, version)
				runtime.ReadMemStats(&after)
				if grown := after.TotalAlloc - before.TotalAlloc; grown > most {
					t.Errorf("%d bytes were allocated", grown)
				}
			})
		}
	}
	if n < 20 {
		t.Errorf("only %d rows claim a length", n)
	}
}

// TestClaimedPublishTakesNoMemory: a PUBLISH over the limit is skipped and not refused. One that
// never arrives takes no memory, and the keep-alive detects a broker that sends nothing more.
func TestClaimedPublishTakesNoMemory(t *testing.T) {
	const most = 2 << 20 // bytes, for two connections and their surroundings
	for name, claim := range map[string][]byte{
		"256 MiB":           {0x30, 0xff, 0xff, 0xff, 0x7f, 0x00, 0x01, 't'},
		"one byte too much": {0x30, 0xfd, 0xff, 0x3f, 0x00, 0x01, 't'},
	} {
		for _, version := range []byte{4, 5} {
			t.Run(fmt.Sprintf("%d/%s", version, name), func(t *testing.T) {
				var before, after runtime.MemStats
				runtime.ReadMemStats(&before)
				p := newPeer(t, version, func(c net.Conn, n int, when string) bool {
					if n > 1 || when != "ready" {
						return false
					}
					_, _ = c.Write(claim)
					if !closed(c) {
						t.Error("the client waits for ever")
					}
					return true
				})
				srv, _ := client(t, p.URL(), version, mqttserver.WithBrokerOptions(
					mqttbroker.WithKeepAlive(time.Second), mqttbroker.WithPingTimeout(time.Second)))
				handle(t, srv, "t", func(context.Context, *reading) error {
					t.Error("a handler ran")
					return nil
				})
				if err := srv.Start(t.Context()); err != nil {
					t.Errorf("start: %v", err)
				}
				mqtttest.Eventually(t, patience, func() bool { return p.connections.Load() > 1 })
				wait(t, srv)
				if cause := srv.Health().LastLoss.Kind; cause != event.LossKeepAlive {
					t.Errorf("cause %q", cause)
				}
				runtime.ReadMemStats(&after)
				if grown := after.TotalAlloc - before.TotalAlloc; grown > most {
					t.Errorf("%d bytes were allocated", grown)
				}
			})
		}
	}
}
