package hostile_test

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

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/internal/hostile"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
)

type reading struct {
	Celsius float64 `json:"celsius"`
}

// TestMalformedPacketsReachNobody sends every packet of the table to a client:
// it ends the connection, Health says why, no handler runs, and the client is
// back with the next connection.
func TestMalformedPacketsReachNobody(t *testing.T) {
	t.Parallel()
	rows, err := hostile.Packets()
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range rows {
		for _, version := range row.Versions {
			t.Run(fmt.Sprintf("%s/%d/%s/%s", row.Type, version, row.Rule, row.Case), func(t *testing.T) {
				t.Parallel()
				refused(t, row, version)
			})
		}
	}
}

func refused(t *testing.T, row hostile.Packet, version byte) {
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
			<-seen // until Health was looked at
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

func checkRefusal(t *testing.T, row hostile.Packet, last error) {
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

// TestClaimsTakeNoMemory: a length alone allocates nothing.
func TestClaimsTakeNoMemory(t *testing.T) {
	rows, err := hostile.Packets()
	if err != nil {
		t.Fatal(err)
	}
	const most = 2 << 20 // bytes, for two connections and what is around them
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
