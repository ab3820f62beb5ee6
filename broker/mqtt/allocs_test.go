package mqtt_test

import (
	"bufio"
	"context"
	"io"
	"net"
	"sync"
	"testing"

	"github.com/tx7do/kratos-transport/broker"

	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
)

// frugal is a broker that acknowledges small messages without allocating.
func frugal(t *testing.T, connack []byte) string {
	t.Helper()
	return mqtttest.ScriptedBroker(t, func(conn net.Conn) {
		r := bufio.NewReader(conn)
		var frame [128]byte
		for {
			first, err := r.ReadByte()
			if err != nil {
				return
			}
			size, err := r.ReadByte()
			if err != nil || size > 127 {
				return
			}
			if _, err := io.ReadFull(r, frame[:size]); err != nil {
				return
			}
			answer := connack
			if first>>4 == byte(mqtttest.TypePublish) {
				id := 2 + int(frame[1]) // after a short topic
				frame[100], frame[101], frame[102], frame[103] = 0x40, 2, frame[id], frame[id+1]
				answer = frame[100:104]
			}
			if _, err := conn.Write(answer); err != nil {
				return
			}
		}
	}).URL()
}

// Publishing bytes does not allocate, with or without an id, and whether or not the
// caller waits for the acknowledgement.
//
//nolint:paralleltest // counts the allocations of the process
func TestPublisherAllocates(t *testing.T) {
	payload := []byte("ready")
	for name, tt := range map[string]struct {
		protocol string
		connack  []byte
		opts     []broker.Option
	}{
		"3.1.1":     {"3.1.1", []byte{0x20, 2, 0, 0}, nil},
		"5":         {"5", []byte{0x20, 3, 0, 0, 0}, nil},
		"5 with id": {"5", []byte{0x20, 3, 0, 0, 0}, []broker.Option{mqttbroker.WithMessageIDs(true)}},
	} {
		t.Run(name, func(t *testing.T) {
			p := publisher(t, frugal(t, tt.connack), tt.protocol, tt.opts...)
			ctx := within(t, patience)
			send := func() {
				if err := p.Publish(ctx, "a", payload); err != nil {
					t.Fatal(err)
				}
			}
			for range 300 { // fills the window's slots and pools
				send()
			}
			if n := testing.AllocsPerRun(1000, send); n > 0 && !raceEnabled {
				t.Errorf("%v allocations a publish, want none", n)
			}
			sendMany := pipelined(ctx, t, p, payload)
			sendMany()
			// The goroutine that runs callbacks ends when there are none, and is
			// started again later.
			if n := testing.AllocsPerRun(100, sendMany); n > many/4 && !raceEnabled {
				t.Errorf("%v allocations for %d publishes without waiting, want those of few goroutines", n, many)
			}
		})
	}
}

// many is the number of publishes that [pipelined] has in flight.
const many = 200

// pipelined returns a function that publishes without waiting for each acknowledgement,
// and then waits for all of them.
func pipelined(ctx context.Context, t *testing.T, p *mqttbroker.Publisher, payload []byte) func() {
	t.Helper()
	var all sync.WaitGroup
	done := func(err error) {
		if err != nil {
			t.Error(err)
		}
		all.Done()
	}
	return func() {
		all.Add(many)
		for range many {
			if err := p.PublishAsync(ctx, "a", payload, done); err != nil {
				t.Fatal(err)
			}
		}
		all.Wait()
	}
}

// A publish of bytes without options through kratos-transport's interface stays on the stack.
//
//nolint:paralleltest // counts the allocations of the process
func TestPublishAllocates(t *testing.T) {
	b := connected(t, frugal(t, []byte{0x20, 2, 0, 0}), broker.WithCodec(""))
	ctx, msg := within(t, patience), broker.NewMessage([]byte("ready"))
	send := func() {
		if err := b.Publish(ctx, "a", msg); err != nil {
			t.Fatal(err)
		}
	}
	for range 300 { // fills the window's slots and pools
		send()
	}
	if n := testing.AllocsPerRun(1000, send); n > 0 && !raceEnabled {
		t.Errorf("%v allocations a publish, want none", n)
	}
}
