package link

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	v5 "github.com/eclipse/paho.golang/paho"
	v3 "github.com/eclipse/paho.mqtt.golang"
	mochi "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/packets"

	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/wire"
)

// keepAlive in seconds. The broker waits for 1.5 times as long, rounded down.
const keepAlive = 2

// broker is an in-process broker that counts what it reads.
type broker struct {
	mochi.HookBase
	server *mochi.Server
	read   [16]atomic.Int32 // by packet type
}

func (*broker) ID() string { return "count" }

func (*broker) Provides(hook byte) bool {
	return hook == mochi.OnConnectAuthenticate || hook == mochi.OnACLCheck || hook == mochi.OnPacketRead
}

func (*broker) OnConnectAuthenticate(*mochi.Client, packets.Packet) bool { return true }
func (*broker) OnACLCheck(*mochi.Client, string, bool) bool              { return true }

func (b *broker) OnPacketRead(_ *mochi.Client, p packets.Packet) (packets.Packet, error) {
	b.read[p.FixedHeader.Type].Add(1)
	return p, nil
}

func newBroker(t *testing.T) *broker {
	t.Helper()
	b := &broker{server: mochi.New(&mochi.Options{Logger: slog.New(slog.DiscardHandler)})}
	if err := b.server.AddHook(b, nil); err != nil {
		t.Fatal(err)
	}
	if err := b.server.Serve(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.server.Close() })
	return b
}

func (b *broker) serve(nc net.Conn) { _ = b.server.EstablishConnection("test", nc) }

// listen opens an address of the scheme.
func (b *broker) listen(t *testing.T, ca *authority, scheme string) Address {
	t.Helper()
	var addr string
	switch scheme {
	case "tcp":
		addr = listen(t, nil, b.serve)
	case "tls":
		addr = listen(t, ca.serverConfig(), b.serve)
	default:
		addr = listenWebSocket(t, ca, scheme, b.serve)
	}
	return mustParse(t, scheme+"://"+addr)
}

// library is what the tests need of a client library.
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

// own is a QoS 1 PUBLISH of the data plane.
func own(v wire.Version, id uint16, topic string) []byte {
	body := append([]byte{0, byte(len(topic))}, topic...)
	body = append(body, byte(id>>8), byte(id))
	if v == wire.V5 {
		body = append(body, 0)
	}
	return frame(0x32, append(body, "payload"...)...)
}

// The real libraries connect, subscribe, ping, unsubscribe and disconnect over
// a Conn of every kind, while messages go past them.
func TestLibraries(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	for _, v := range versions {
		for _, scheme := range []string{"tcp", "tls", "ws", "wss"} {
			t.Run(fmt.Sprintf("%v over %s", v, scheme), func(t *testing.T) {
				t.Parallel()
				b := newBroker(t)
				rec := newRecorder()
				c, l := open(t, v, rec, &Dialer{TLS: ca.trust}, b.listen(t, ca, scheme))
				if err := l.subscribe("a", "b/#"); err != nil {
					t.Fatal(err)
				}
				mustQueue(t, c, own(v, 0x8001, "b/c"))
				c.Flush()
				eventually(t, "PUBACK and PUBLISH", func() bool { return rec.count(wire.TypePuback) == 1 && rec.count(wire.TypePublish) == 1 })
				eventually(t, "a ping", func() bool { return b.read[packets.Pingreq].Load() > 0 })
				if err := l.unsubscribe("b/#"); err != nil {
					t.Fatal(err)
				}
				if err := c.Err(); err != nil {
					t.Fatal(err)
				}
				l.disconnect()
				// The broker may end the connection first, on the DISCONNECT.
				if err := rec.ended(t, c); !errors.Is(err, net.ErrClosed) && !errors.Is(err, io.EOF) {
					t.Errorf("ended with %v", err)
				}
				eventually(t, "DISCONNECT", func() bool { return b.read[packets.Disconnect].Load() == 1 })
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

// D11: many goroutines use the library while many others publish; no packet
// is torn.
func TestD11_LibrariesBesideTheDataPlane(t *testing.T) {
	t.Parallel()
	const publishers, subscribers, each = 4, 4, 50
	for _, v := range versions {
		t.Run(v.String(), func(t *testing.T) {
			t.Parallel()
			b := newBroker(t)
			rec := newRecorder()
			c, l := open(t, v, rec, new(Dialer), b.listen(t, nil, "tcp"))
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
