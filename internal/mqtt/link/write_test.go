package link

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"testing"

	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/wire"
)

// In whatever pieces the library writes, whole packets are sent, unchanged and
// in order.
func TestWriteAssembles(t *testing.T) {
	t.Parallel()
	for seed := range uint64(20) {
		r := rand.New(rand.NewPCG(seed, 2))
		v := versions[seed%2]
		sent := bytes.Clone(connect)
		for id := uint16(1); id < 100; id++ {
			switch r.IntN(3) {
			case 0:
				sent = append(sent, pingreq...)
			case 1:
				sent = append(sent, subscribe(v, wire.TypeSubscribe, id, 1+r.IntN(300))...)
			default:
				sent = append(sent, subscribe(v, wire.TypeUnsubscribe, id, 1+r.IntN(3))...)
			}
		}
		if v == wire.V5 {
			sent = append(sent, frame(0xF0, 0x18, 0)...)
		}
		sent = append(sent, disconnect...)
		c, far := pipe(t, newRecorder(), Options{Version: v})
		got := make(chan []byte, 1)
		go func() {
			b := make([]byte, len(sent))
			_, _ = io.ReadFull(far, b)
			_ = far.Close() // as brokers do on DISCONNECT
			got <- b
		}()
		for _, p := range cut(r, sent, []int{1, 9, 4000}[seed%3]) {
			if n, err := c.Write(p); n != len(p) || err != nil {
				t.Fatalf("seed %d: %d, %v", seed, n, err)
			}
		}
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
		if b := <-got; !bytes.Equal(b, sent) {
			t.Errorf("seed %d: %d bytes arrived of %d", seed, len(b), len(sent))
		}
	}
}

// A packet that the library must not send fails as early as its first byte, if
// that shows it, and leaves the stream unchanged.
func TestRefusedFromLibrary(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name string
		v    wire.Version // 0 means both
		sent []byte
		want func(error) bool
	}{
		{"PUBLISH", 0, publish(1, 9)[:1], is(ErrUnexpected)},
		{"PUBACK", 0, ack(wire.TypePuback, 1), is(ErrUnexpected)},
		{"PUBREC", 0, ack(wire.TypePubrec, 1), is(ErrUnexpected)},
		{"PUBREL", 0, ack(wire.TypePubrel, 1), is(ErrUnexpected)},
		{"PUBCOMP", 0, ack(wire.TypePubcomp, 1), is(ErrUnexpected)},
		{"CONNACK", 0, connack(wire.V311), is(ErrUnexpected)},
		{"AUTH", wire.V311, frame(0xF0), is(ErrUnexpected)},
		{"type 0", 0, []byte{0}, is(ErrUnexpected)},
		{"length", 0, []byte{0x10, 0xFF, 0xFF, 0xFF, 0xFF}, has[*wire.MalformedError]},
		{"too large", 0, []byte{0x10, 0xFF, 0xFF, 0xFF, 0x7F}, is(ErrTooLarge)},
		{"SUBSCRIBE without filter", 0, frame(0x82, 0, 1, 0), has[*wire.MalformedError]},
		// T: identifiers of the upper half belong to the data plane.
		{"SUBSCRIBE id", 0, subscribe(wire.V311, wire.TypeSubscribe, 0x8000, 1), anyError},
		{"SUBSCRIBE id 3.1.1", wire.V311, subscribe(wire.V311, wire.TypeSubscribe, 0x8000, 1), is(ErrPacketID)},
		{"UNSUBSCRIBE id 5", wire.V5, subscribe(wire.V5, wire.TypeUnsubscribe, 0xFFFF, 1), is(ErrPacketID)},
	} {
		for _, v := range versions {
			if tc.v != 0 && tc.v != v {
				continue
			}
			c, far := pipe(t, newRecorder(), Options{Version: v})
			if n, err := c.Write(tc.sent); n != 0 || !tc.want(err) {
				t.Errorf("%s on %v: %d, %v", tc.name, v, n, err)
			}
			if _, err := c.Write(pingreq); err != nil {
				t.Errorf("%s on %v: then %v", tc.name, v, err)
			}
			got := make([]byte, 2)
			if _, err := io.ReadFull(far, got); err != nil || !bytes.Equal(got, pingreq) {
				t.Errorf("%s on %v: the peer got %x, %v", tc.name, v, got, err)
			}
		}
	}
}

// The number of unanswered requests and the size of unread packets are limited.
func TestControlIsBounded(t *testing.T) {
	t.Parallel()
	c, _ := pipe(t, newRecorder(), Options{}) // the peer does not read
	var err error
	id := uint16(0)
	for err == nil && id < 2*maxRequests {
		id++
		_, err = c.Write(subscribe(wire.V311, wire.TypeSubscribe, id, 1))
	}
	if !errors.Is(err, ErrBacklog) || id != maxRequests+1 {
		t.Errorf("after %d requests: %v", id, err)
	}
	for err, n := error(nil), 0; !errors.Is(err, ErrBacklog); n += len(pingreq) {
		if _, err = c.Write(pingreq); n > 3*controlBacklog {
			t.Fatal("PINGREQs without end are queued")
		}
	}
}

// DISCONNECT is the last packet: it does not overtake data, and nothing follows
// it.
func TestDisconnectIsLast(t *testing.T) {
	t.Parallel()
	c, far := pipe(t, newRecorder(), Options{})
	data := publish(0x8001, 9)
	if ok, err := c.Queue(data); !ok || err != nil {
		t.Fatal(ok, err)
	}
	if _, err := c.Write(disconnect); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Queue(data); !errors.Is(err, net.ErrClosed) {
		t.Errorf("PUBLISH after DISCONNECT: %v", err)
	}
	if _, err := c.Write(pingreq); !errors.Is(err, net.ErrClosed) {
		t.Errorf("PINGREQ after DISCONNECT: %v", err)
	}
	c.QueueAck(ack(wire.TypePuback, 1))
	got := make(chan []byte, 1)
	go func() { b, _ := io.ReadAll(far); got <- b }()
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	if b := <-got; !bytes.Equal(b, append(data, disconnect...)) {
		t.Errorf("the peer got %x", b)
	}
}
