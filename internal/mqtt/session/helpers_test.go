package session

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/link"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/wire"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long a test waits for an event that must happen.
const patience = time.Minute

// slack is the tolerance for a busy machine.
const slack = 20 * time.Second

func within(t testing.TB, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	t.Cleanup(cancel)
	return ctx
}

// journal records events.
type journal struct {
	mu   sync.Mutex
	list []Event
}

func (j *journal) add(e Event) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.list = append(j.list, e)
}

func eventsOf[E Event](j *journal) (out []E) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, e := range j.list {
		if e, ok := e.(E); ok {
			out = append(out, e)
		}
	}
	return out
}

func waitEvent[E Event](t testing.TB, j *journal, n int) []E {
	t.Helper()
	mqtttest.Eventually(t, patience, func() bool { return len(eventsOf[E](j)) >= n })
	return eventsOf[E](j)
}

// box is a sink that collects messages and can acknowledge them at once.
type box struct {
	mu   sync.Mutex
	got  []*Inbound
	done bool
}

func (b *box) New(topic []byte, _ byte, _ int) *Inbound { return &Inbound{Topic: string(topic)} }

func (b *box) Deliver(m *Inbound) {
	b.mu.Lock()
	b.got = append(b.got, m)
	done := b.done
	b.mu.Unlock()
	if done {
		m.Done()
	}
}

func (b *box) Batch() {}

func (b *box) all() []*Inbound {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]*Inbound(nil), b.got...)
}

func (b *box) wait(t testing.TB, n int) []*Inbound {
	t.Helper()
	mqtttest.Eventually(t, patience, func() bool { return len(b.all()) >= n })
	return b.all()
}

func addresses(t testing.TB, urls ...string) []link.Address {
	t.Helper()
	list, err := link.ParseAddresses(urls)
	if err != nil {
		t.Fatal(err)
	}
	return list
}

type option func(*Config)

func clean(c *Config)           { c.CleanSession = true }
func clientID(id string) option { return func(c *Config) { c.ClientID = id } }
func windowOf(n int) option     { return func(c *Config) { c.Window = n } }
func to(j *journal) option      { return func(c *Config) { c.Notify = j.add } }
func into(s Sink) option        { return func(c *Config) { c.Sink = s } }
func reconnect(lo, hi time.Duration) option {
	return func(c *Config) { c.MinReconnectDelay, c.MaxReconnectDelay = lo, hi }
}

// idOf returns a client id made from the test's name.
func idOf(t testing.TB) string {
	return strings.NewReplacer("/", "-", "#", "-", " ", "-").Replace(t.Name())
}

func config(t testing.TB, url string, opts ...option) Config {
	cfg := Config{
		Addresses: addresses(t, url), ClientID: idOf(t),
		MinReconnectDelay: time.Millisecond, MaxReconnectDelay: 20 * time.Millisecond,
		Sink: &box{done: true}, Negotiation: NewNegotiation(Version31),
	}
	for _, o := range opts {
		o(&cfg)
	}
	return cfg
}

// open returns a session that is closed at the end of the test.
func open(t testing.TB, url string, opts ...option) *Session {
	t.Helper()
	s, err := New(config(t, url, opts...))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close(within(t, time.Second)) })
	return s
}

// start opens a session and waits until it is ready.
func start(t testing.TB, url string, opts ...option) *Session {
	t.Helper()
	s := open(t, url, opts...)
	s.Start()
	ready(t, s)
	return s
}

func ready(t testing.TB, s *Session) {
	t.Helper()
	if err := s.WaitReady(within(t, patience)); err != nil {
		t.Fatal(err)
	}
}

func want(t testing.TB, s *Session, filters ...string) {
	t.Helper()
	for _, f := range filters {
		if err := s.Want(Filter{Filter: f, QoS: 2}); err != nil {
			t.Fatal(err)
		}
	}
}

// asError checks the type of an error and returns it.
func asError(t testing.TB, err error, reason event.Reason) *event.Error {
	t.Helper()
	var e *event.Error
	if !errors.As(err, &e) {
		t.Fatalf("error %v of type %T, want %v", err, err, reason)
	}
	if e.Reason != reason {
		t.Fatalf("reason of %q is %v, want %v", err, e.Reason, reason)
	}
	return e
}

// outcomes collects what callbacks receive.
type outcomes struct {
	mu   sync.Mutex
	errs []error
}

func (o *outcomes) add(err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.errs = append(o.errs, err)
}

func (o *outcomes) all() []error {
	o.mu.Lock()
	defer o.mu.Unlock()
	return append([]error(nil), o.errs...)
}

func (o *outcomes) wait(t testing.TB, n int) []error {
	t.Helper()
	mqtttest.Eventually(t, patience, func() bool { return len(o.all()) >= n })
	return o.all()
}

// tape is a connection whose broker sends nothing. It records what was written.
type tape struct {
	net.Conn
	closed chan struct{}
	once   sync.Once

	mu   sync.Mutex
	data []byte
}

func newTape() *tape { return &tape{closed: make(chan struct{})} }

func (v *tape) Read([]byte) (int, error) {
	<-v.closed
	return 0, io.EOF
}

func (v *tape) Write(b []byte) (int, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.data = append(v.data, b...)
	return len(b), nil
}

func (v *tape) Close() error {
	v.once.Do(func() { close(v.closed) })
	return nil
}

func (v *tape) SetDeadline(time.Time) error      { return nil }
func (v *tape) SetReadDeadline(time.Time) error  { return nil }
func (v *tape) SetWriteDeadline(time.Time) error { return nil }

// packets returns the whole packets written so far, except PINGREQs.
func (v *tape) packets(t testing.TB) (list []mqtttest.Packet) {
	t.Helper()
	v.mu.Lock()
	r := bytes.NewReader(bytes.Clone(v.data))
	v.mu.Unlock()
	for r.Len() > 0 {
		p, err := mqtttest.ReadPacket(r)
		if errors.Is(err, io.ErrUnexpectedEOF) {
			return list
		}
		if err != nil {
			t.Fatal(err)
		}
		if p.Type() != mqtttest.TypePingreq {
			list = append(list, p)
		}
	}
	return list
}

// wait waits for n packets and returns all that have been written.
func (v *tape) wait(t testing.TB, n int) []mqtttest.Packet {
	t.Helper()
	mqtttest.Eventually(t, patience, func() error {
		if got := v.packets(t); len(got) < n {
			return fmt.Errorf("%d packets of %d: %v", len(got), n, got)
		}
		return nil
	})
	return v.packets(t)
}

// direct returns a session without a supervisor.
func direct(t testing.TB, opts ...option) *Session {
	t.Helper()
	return open(t, "mqtt://127.0.0.1:1", opts...)
}

// attached returns a connection of the session whose frames the test passes. A
// PINGREQ before a suspect is answered.
func attached(t testing.TB, s *Session, present bool) (*conn, *tape) {
	t.Helper()
	c, tape := linked(t, s)
	accept(t, c, present)
	s.out.proved(c, time.Now())
	return c, tape
}

// linked returns a connection before its CONNACK.
func linked(t testing.TB, s *Session) (*conn, *tape) {
	c, tape := newConn(s, wire.V311, 0), newTape()
	c.link = link.New(tape, c, link.Options{Version: wire.V311, WriteTimeout: time.Second})
	t.Cleanup(func() { _ = c.link.Close() })
	return c, tape
}

func accept(t testing.TB, c *conn, present bool) {
	t.Helper()
	body := []byte{0, 0}
	if present {
		body[0] = 1
	}
	if err := c.Connack(0x20, body); err != nil {
		t.Fatal(err)
	}
}

// cut ends a connection as a network failure does.
func cut(c *conn) { c.Closed(syscall.ECONNRESET) }

// feed passes packets to a connection as its read loop would.
func feed(t testing.TB, c *conn, packets ...[]byte) {
	t.Helper()
	for _, p := range packets {
		h, ok, err := wire.ParseHeader(p)
		if !ok || err != nil {
			t.Fatal("bad packet in the test")
		}
		if err := c.Frame(h.First, p[h.Size:]); err != nil {
			t.Fatal(err)
		}
	}
	c.Batch()
}

func ack(t mqtttest.PacketType, id uint16) []byte { return mqtttest.AckPacket(t, id) }

// publication returns a PUBLISH from the broker.
func publication(id uint16, qos byte, dup bool, topic, payload string) []byte {
	p := mqtttest.PublishPacket(4, id, topic, qos, payload)
	if dup {
		p[0] |= 8
	}
	return p
}

// publishAsync publishes m, whose outcome done receives.
func publishAsync(ctx context.Context, s *Session, m *Message, done func(error)) error {
	own := *m
	own.Done = done
	return s.Publish(ctx, &own)
}

// relay is publishAsync of a message that an outbox keeps.
func relay(ctx context.Context, s *Session, m *Message, done func(error)) error {
	own := *m
	own.Done, own.Kept = done, true
	return s.Publish(ctx, &own)
}
