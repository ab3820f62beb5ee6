package session

import (
	"context"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/wire"
)

// riddles answers each challenge.
type riddles struct{ asked atomic.Int64 }

func (*riddles) Method() string { return "M" }

func (r *riddles) Begin(context.Context) (*event.AuthExchange, error) {
	return &event.AuthExchange{Data: []byte("hello"), Continue: func(_ context.Context, data []byte) ([]byte, error) {
		r.asked.Add(1)
		return data, nil
	}}, nil
}

// A broker that sends a challenge which belongs to no exchange is left: it could otherwise have
// as many answers as it likes [MQTT-4.12.0-1].
func TestChallengeWithoutExchange(t *testing.T) {
	t.Parallel()
	lis, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = lis.Close() })
	left := make(chan error, 1)
	go func() { left <- challengeConnected(lis) }()
	r := new(riddles)
	s := open(t, "mqtt://"+lis.Addr().String(), clientID(idOf(t)), speaking(Version5), func(c *Config) { c.Authenticator = r })
	s.Start()
	if err := <-left; err == nil {
		t.Errorf("the client answered %d challenges", r.asked.Load())
	}
}

// challengeConnected accepts a connection, and then challenges it again and again. It returns the
// error with which the connection ends.
func challengeConnected(lis net.Listener) error {
	nc, err := lis.Accept()
	if err != nil {
		return err
	}
	defer func() { _ = nc.Close() }()
	buf := make([]byte, 4096)
	if _, err = nc.Read(buf); err != nil { // CONNECT
		return err
	}
	challenge := wire.Auth{Reason: wire.ReasonContinueAuthentication, Method: "M", Data: []byte("riddle")}
	next := []byte{0x20, 7, 0, 0, 4, 0x15, 0, 1, 'M'} // CONNACK
	for range 20 {
		next = challenge.Append(next)
		if _, err = nc.Write(next); err != nil {
			return err
		}
		next = next[:0]
		if err = nc.SetReadDeadline(time.Now().Add(patience)); err != nil {
			return err
		}
		if _, err = nc.Read(buf); err != nil {
			return err
		}
	}
	return nil
}
