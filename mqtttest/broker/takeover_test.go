package broker_test

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"

	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
)

const persistent = 0 // flags of CONNECT

// publish is a PUBLISH at QoS 1.
func publishOf(id uint16, topic string, payload []byte) []byte {
	return mqtttest.PacketOf(0x32, mqtttest.StringField(topic), binary.BigEndian.AppendUint16(nil, id), payload)
}

func subscribeOf(filter string) []byte {
	return mqtttest.PacketOf(0x82, []byte{0, 1}, mqtttest.StringField(filter), []byte{1})
}

// received reads the next packet.
func received(r *bufio.Reader) (first byte, body []byte, err error) {
	if first, err = r.ReadByte(); err != nil {
		return 0, nil, err
	}
	n, err := binary.ReadUvarint(r)
	if err != nil {
		return 0, nil, err
	}
	body = make([]byte, n)
	_, err = io.ReadFull(r, body)
	return first, body, err
}

// await reads up to a packet with this first byte.
func await(t *testing.T, r *bufio.Reader, want byte) {
	t.Helper()
	for {
		first, _, err := received(r)
		if err != nil {
			t.Fatalf("waiting for packet %#x: %v", want, err)
		}
		if first == want {
			return
		}
	}
}

// errNone is the error of message when the broker answers to a PINGREQ instead.
var errNone = errors.New("no message before PINGRESP")

// message reads the next PUBLISH at QoS 1, acknowledges it and returns its payload.
func nextMessage(c net.Conn, r *bufio.Reader) (string, error) {
	for {
		first, body, err := received(r)
		if err != nil {
			return "", err
		}
		switch first & 0xF0 {
		case 0xD0:
			return "", errNone
		case 0x30:
		default:
			continue
		}
		topic := int(binary.BigEndian.Uint16(body))
		rest := body[2+topic:]
		if _, err := c.Write(mqtttest.PacketOf(0x40, rest[:2])); err != nil {
			return "", err
		}
		return string(rest[2:]), nil
	}
}

// session makes a persistent session with a subscription, and leaves it.
func sessionOf(t *testing.T, b *mqtttest.InProcessBroker, id, filter string) {
	t.Helper()
	c := stream(t, b, connectOf(4, persistent, mqtttest.StringField(id)), subscribeOf(filter))
	await(t, bufio.NewReader(c), 0x90)
	_ = c.Close()
}

// An acknowledged message waits for a client that reconnects a moment later.
func TestAcknowledgedMessageWaitsForTheSession(t *testing.T) {
	t.Parallel()
	const crowd, rounds = 100, 40
	b := mqtttest.InProcess(t)
	for i := range crowd { // the more there are, the longer a message takes to all
		sessionOf(t, b, fmt.Sprint("crowd", i), "t")
	}
	sessionOf(t, b, "away", "t")
	p := stream(t, b, hello(4))
	answers := bufio.NewReader(p)
	for i := range rounds {
		c := stream(t, b) // only CONNECT is missing
		want := fmt.Sprint(i)
		if _, err := p.Write(publishOf(1, "t", []byte(want))); err != nil {
			t.Fatal(err)
		}
		await(t, answers, 0x40)
		if _, err := c.Write(append(connectOf(4, persistent, mqtttest.StringField("away")), mqtttest.PacketOf(0xC0)...)); err != nil {
			t.Fatal(err)
		}
		r := bufio.NewReader(c)
		await(t, r, 0x20)
		if got, err := nextMessage(c, r); got != want {
			t.Fatalf("round %d: message %q, %v", i, got, err)
		}
		await(t, r, 0xD0)
		if _, err := c.Write(mqtttest.PacketOf(0xC0)); err != nil { // the broker has our PUBACK
			t.Fatal(err)
		}
		await(t, r, 0xD0)
		_ = c.Close()
	}
}

// A session that goes from connection to connection while messages come loses
// none, and has them in order.
func TestTakeoverLosesNothing(t *testing.T) {
	t.Parallel()
	const messages = 1000
	b := mqtttest.InProcess(t)
	sessionOf(t, b, "s", "t")
	var publishing sync.WaitGroup
	defer publishing.Wait()
	publishing.Go(func() {
		p := stream(t, b, hello(4))
		answers := bufio.NewReader(p)
		for i := range messages {
			if _, err := p.Write(publishOf(uint16(i+1), "t", fmt.Append(nil, i))); err != nil {
				t.Error(err)
				return
			}
			if i%8 == 7 { // a few at a time
				for range 8 {
					_, _, _ = received(answers)
				}
			}
		}
	})
	next := 0
	for next < messages {
		c := stream(t, b, connectOf(4, persistent, mqtttest.StringField("s")))
		r := bufio.NewReader(c)
		if first, _, err := received(r); err != nil || first != 0x20 {
			t.Fatalf("first packet %#x, %v", first, err)
		}
		for range 20 {
			got, err := nextMessage(c, r)
			if err != nil {
				t.Fatalf("after %d messages: %v", next, err)
			}
			var n int
			if _, err := fmt.Sscan(got, &n); err != nil {
				t.Fatal(err)
			}
			if n > next {
				t.Fatalf("message %d came before %d", n, next)
			}
			if next = max(next, n+1); next == messages {
				break
			}
		}
	}
}

// A client that does not read delays neither those who publish to it, nor those
// who connect.
func TestClientThatDoesNotReadHoldsUpNobody(t *testing.T) {
	t.Parallel()
	const messages = 150
	b := mqtttest.InProcess(t)
	stuck := stream(t, b) // it reads nothing
	if err := stuck.(*net.TCPConn).SetReadBuffer(4 << 10); err != nil {
		t.Fatal(err)
	}
	hello := connectOf(4, persistent, mqtttest.StringField("stuck"))
	hello[10] = 1 // a keep-alive time beyond that of the test
	if _, err := stuck.Write(append(hello, subscribeOf("t")...)); err != nil {
		t.Fatal(err)
	}
	other := stream(t, b, connectOf(4, persistent, mqtttest.StringField("other")), subscribeOf("t"))
	r := bufio.NewReader(other)
	await(t, r, 0x90)
	p := stream(t, b, connectOf(4, 2, mqtttest.StringField("pub")))
	answers := bufio.NewReader(p)
	body := []byte(strings.Repeat("x", 64<<10)) // more than sockets hold
	for i := range messages {
		if _, err := p.Write(publishOf(uint16(i+1), "t", body)); err != nil {
			t.Fatal(err)
		}
		await(t, answers, 0x40)
		if _, err := nextMessage(other, r); err != nil {
			t.Fatalf("message %d: %v", i, err)
		}
	}
	connected(t, stream(t, b, connectOf(4, persistent, mqtttest.StringField("new"))))
	connected(t, stream(t, b, connectOf(4, persistent, mqtttest.StringField("stuck"))))
	if n := b.Dropped(); n != 0 {
		t.Errorf("%d messages dropped", n)
	}
}
