package link

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"sync"
	"testing"
	"time"

	v5 "github.com/eclipse/paho.golang/paho"
	v3 "github.com/eclipse/paho.mqtt.golang"

	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/wire"
	testbroker "github.com/kratos-mqtt/kratos-mqtt/mqtttest/broker"
)

// keepAlive is the keep-alive interval in seconds. The broker waits for 1.5
// times as long, rounded down.
const keepAlive = 2

// broker is an in-process broker with a listener for one scheme.
type broker struct {
	*testbroker.Broker

	address Address
}

func newBroker(t *testing.T, ca *authority, scheme string) *broker {
	t.Helper()
	const free = "127.0.0.1:0"
	var opts []testbroker.Option
	switch scheme {
	case "tls":
		opts = append(opts, testbroker.WithTLS(free, ca.serverConfig()))
	case "ws":
		opts = append(opts, testbroker.WithWebSocket(free, nil))
	case "wss":
		opts = append(opts, testbroker.WithWebSocket(free, ca.serverConfig()))
	}
	b, err := testbroker.Listen(opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	url := map[string]func() string{"tcp": b.URL, "tls": b.TLSURL, "ws": b.WebSocketURL, "wss": b.WebSocketURL}[scheme]()
	return &broker{b, mustParse(t, url)}
}

func (b *broker) read(kind testbroker.PacketType) int64 {
	return b.Counts().Packets(testbroker.ToBroker, kind)
}

// library is the part of a client library that the tests need.
type library interface {
	subscribe(filters ...string) error
	unsubscribe(filter string) error
	disconnect()
}

type paho3 struct{ c v3.Client }

func connect3(t *testing.T, c *Conn) library {
	t.Helper()
	o := v3.NewClientOptions().AddBroker("tcp://named-only:1").SetClientID(t.Name()).SetProtocolVersion(4).
		SetAutoReconnect(false).SetKeepAlive(keepAlive * time.Second).SetWriteTimeout(time.Second)
	o.SetCustomOpenConnectionFn(func(*url.URL, v3.ClientOptions) (net.Conn, error) { return c, nil })
	l := paho3{v3.NewClient(o)}
	if err := l.wait(l.c.Connect()); err != nil {
		t.Fatal(err)
	}
	return l
}

func (paho3) wait(token v3.Token) error {
	if !token.WaitTimeout(patience) {
		return context.DeadlineExceeded
	}
	return token.Error()
}

func (l paho3) subscribe(filters ...string) error {
	want := make(map[string]byte)
	for _, f := range filters {
		want[f] = 1
	}
	return l.wait(l.c.SubscribeMultiple(want, nil))
}

func (l paho3) unsubscribe(filter string) error { return l.wait(l.c.Unsubscribe(filter)) }
func (l paho3) disconnect()                     { l.c.Disconnect(250) }

type paho5 struct{ c *v5.Client }

func connect5(t *testing.T, c *Conn) library {
	t.Helper()
	l := paho5{v5.NewClient(v5.ClientConfig{Conn: c, PacketTimeout: patience})}
	receiveMaximum := uint16(100)
	_, err := l.c.Connect(t.Context(), &v5.Connect{
		ClientID: t.Name(), KeepAlive: keepAlive, CleanStart: true,
		Properties: &v5.ConnectProperties{ReceiveMaximum: &receiveMaximum},
	})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func (l paho5) subscribe(filters ...string) error {
	s := new(v5.Subscribe)
	for _, f := range filters {
		s.Subscriptions = append(s.Subscriptions, v5.SubscribeOptions{Topic: f, QoS: 1})
	}
	_, err := l.c.Subscribe(context.Background(), s)
	return err
}

func (l paho5) unsubscribe(filter string) error {
	_, err := l.c.Unsubscribe(context.Background(), &v5.Unsubscribe{Topics: []string{filter}})
	return err
}

func (l paho5) disconnect() { _ = l.c.Disconnect(&v5.Disconnect{}) }

// open dials and connects a library over a Conn.
func open(t *testing.T, v wire.Version, rec *recorder, d *Dialer, a Address) (*Conn, library) {
	t.Helper()
	nc, err := d.Dial(t.Context(), a)
	if err != nil {
		t.Fatal(err)
	}
	c := New(nc, rec, Options{Version: v})
	t.Cleanup(func() { c.Abort(nil); <-c.Done() })
	if v == wire.V5 {
		return c, connect5(t, c)
	}
	return c, connect3(t, c)
}

// own returns a QoS 1 PUBLISH of the data plane.
func own(v wire.Version, id uint16, topic string) []byte {
	body := append([]byte{0, byte(len(topic))}, topic...)
	body = append(body, byte(id>>8), byte(id))
	if v == wire.V5 {
		body = append(body, 0)
	}
	return frame(0x32, append(body, "payload"...)...)
}

// The real libraries connect, subscribe, ping, unsubscribe and disconnect over
// every kind of Conn, while message frames bypass them.
func TestLibraries(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	for _, v := range versions {
		for _, scheme := range []string{"tcp", "tls", "ws", "wss"} {
			t.Run(fmt.Sprintf("%v over %s", v, scheme), func(t *testing.T) {
				t.Parallel()
				b := newBroker(t, ca, scheme)
				rec := newRecorder()
				c, l := open(t, v, rec, &Dialer{TLS: ca.trust}, b.address)
				if err := l.subscribe("a", "b/#"); err != nil {
					t.Fatal(err)
				}
				mustQueue(t, c, own(v, 0x8001, "b/c"))
				c.Flush()
				eventually(t, "PUBACK and PUBLISH", func() bool { return rec.count(wire.TypePuback) == 1 && rec.count(wire.TypePublish) == 1 })
				eventually(t, "a ping", func() bool { return b.read(testbroker.Pingreq) > 0 })
				if err := l.unsubscribe("b/#"); err != nil {
					t.Fatal(err)
				}
				if err := c.Err(); err != nil {
					t.Fatal(err)
				}
				l.disconnect()
				// The broker may react to DISCONNECT by ending the connection
				// first.
				if err := rec.ended(t, c); !errors.Is(err, net.ErrClosed) && !errors.Is(err, io.EOF) {
					t.Errorf("ended with %v", err)
				}
				eventually(t, "DISCONNECT", func() bool { return b.read(testbroker.Disconnect) == 1 })
				if len(rec.connacks) != 1 {
					t.Errorf("%d CONNACKs", len(rec.connacks))
				}
			})
		}
	}
}

func (r *recorder) count(want wire.Type) (n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, f := range r.frames {
		if wire.Type(f[0]>>4) == want {
			n++
		}
	}
	return n
}

// D11: many goroutines use the library while many others publish; no packet is
// interleaved with another.
func TestD11_LibrariesBesideTheDataPlane(t *testing.T) {
	t.Parallel()
	const publishers, subscribers, each = 4, 4, 50
	for _, v := range versions {
		t.Run(v.String(), func(t *testing.T) {
			t.Parallel()
			b := newBroker(t, nil, "tcp")
			rec := newRecorder()
			c, l := open(t, v, rec, new(Dialer), b.address)
			var wg sync.WaitGroup
			for p := range publishers {
				wg.Go(func() {
					for i := range each {
						for {
							ok, err := c.Queue(own(v, uint16(0x8000+p*each+i), "x"))
							c.Flush()
							if err != nil {
								t.Error(err)
							}
							if ok || err != nil {
								break
							}
							<-rec.writable
						}
					}
				})
			}
			for s := range subscribers {
				wg.Go(func() {
					for i := range each {
						if err := l.subscribe(fmt.Sprint(s, "/", i), "y"); err != nil {
							t.Error(err)
						}
					}
				})
			}
			wg.Wait()
			eventually(t, "all PUBACKs", func() bool { return rec.count(wire.TypePuback) == publishers*each })
			l.disconnect()
			_ = rec.ended(t, c)
		})
	}
}
