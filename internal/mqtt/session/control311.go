package session

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"net/url"
	"slices"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"
	"github.com/eclipse/paho.mqtt.golang/packets"

	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/link"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/wire"
)

// quiesce is how long the library may take to send DISCONNECT.
const quiesce = 250 * time.Millisecond

// handOver is how long the library may take to pass a SUBSCRIBE to the link,
// which never waits. If it takes longer, the connection has just ended and the
// library has not noticed.
const handOver = 500 * time.Millisecond

// control311 uses paho.mqtt.golang, with one client object per connection.
type control311 struct {
	cfg    *Config
	client paho.Client
}

func (c *control311) connect(ctx context.Context, l *link.Conn, k credentials) error {
	o := options311(c.cfg, l, k)
	o.SetCleanSession(c.cfg.CleanSession)
	if w := c.cfg.Will; w != nil {
		o.SetBinaryWill(w.Topic, w.Payload, w.QoS, w.Retain)
	}
	c.client = paho.NewClient(o)
	return handshake311(ctx, c.client, l)
}

// purge311 connects with a clean session and sends DISCONNECT, after which the
// broker keeps nothing for the client id.
func purge311(ctx context.Context, cfg *Config, nc net.Conn, k credentials) error {
	o := options311(cfg, nc, k)
	o.SetCleanSession(true)
	client := paho.NewClient(o)
	err := handshake311(ctx, client, nc)
	client.Disconnect(uint(quiesce / time.Millisecond))
	_ = nc.Close()
	return err
}

func options311(cfg *Config, nc net.Conn, k credentials) *paho.ClientOptions {
	o := paho.NewClientOptions()
	o.AddBroker(cfg.Addresses[0].URL().String()) // only required by the library: the connection exists
	o.SetCustomOpenConnectionFn(func(*url.URL, paho.ClientOptions) (net.Conn, error) { return nc, nil })
	o.SetProtocolVersion(4) // otherwise the library retries a refused login as version 3.1
	o.SetClientID(cfg.ClientID)
	o.SetKeepAlive(cfg.KeepAlive)
	o.SetPingTimeout(cfg.PingTimeout)
	o.SetConnectTimeout(cfg.ConnectTimeout)
	o.SetWriteTimeout(handOver)
	o.SetAutoReconnect(false)
	o.SetConnectRetry(false)
	o.SetResumeSubs(false)
	o.SetUsername(k.username)
	o.SetPassword(k.password)
	return o
}

func handshake311(ctx context.Context, client paho.Client, nc net.Conn) error {
	token := client.Connect().(*paho.ConnectToken) //nolint:forcetypeassert // documented
	if err := await(ctx, token); err != nil {
		_ = nc.Close() // closing the connection ends the library's handshake
		<-token.Done()
		return err
	}
	if rc := token.ReturnCode(); token.Error() != nil {
		if rc >= packets.ErrRefusedBadProtocolVersion && rc <= packets.ErrRefusedNotAuthorised {
			return connackError(rc)
		}
		return fmt.Errorf("no CONNACK: %w", token.Error())
	}
	return nil
}

func connackError(code byte) error {
	return &CodeError{Packet: "CONNACK", Code: code, Name: wire.ReasonName(wire.TypeConnack, wire.V311, code)}
}

// subscribe sends as many SUBSCRIBE packets as the limit of filters per packet
// requires, without waiting for answers in between.
func (c *control311) subscribe(ctx context.Context, filters []Filter) ([]answer, error) {
	tokens := make([]*paho.SubscribeToken, 0, len(filters)/c.cfg.SubscribeFilters+1)
	for part := range slices.Chunk(filters, c.cfg.SubscribeFilters) {
		want := make(map[string]byte, len(part))
		for _, f := range part {
			want[f.Filter] = f.QoS
		}
		tokens = append(tokens, c.client.SubscribeMultiple(want, nil).(*paho.SubscribeToken)) //nolint:forcetypeassert // documented
	}
	answers := make([]answer, len(filters))
	var first error
	for i, token := range tokens {
		err := await(ctx, token)
		if err == nil {
			err = token.Error()
		}
		first = cmp.Or(first, err)
		from := i * c.cfg.SubscribeFilters
		for j, f := range filters[from:min(len(filters), from+c.cfg.SubscribeFilters)] {
			a := answer{code: codeFailed, missing: err != nil}
			if err == nil {
				if code, ok := token.Result()[f.Filter]; ok {
					a.code = code
				}
			}
			answers[from+j] = a
		}
	}
	return answers, first
}

func (c *control311) unsubscribe(ctx context.Context, filter string) error {
	token := c.client.Unsubscribe(filter)
	if err := await(ctx, token); err != nil {
		return err
	}
	return token.Error()
}

func (c *control311) disconnect(byte) {
	if c.client != nil {
		c.client.Disconnect(uint(quiesce / time.Millisecond))
	}
}

// await waits for t or the end of ctx, because the token of a dead connection
// may never complete.
func await(ctx context.Context, t paho.Token) error {
	select {
	case <-t.Done():
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
