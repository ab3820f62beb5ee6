package client

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/logsafe"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long a test waits for what must happen.
const patience = time.Minute

// slack is the tolerance for a busy machine.
const slack = 20 * time.Second

func within(t testing.TB, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	t.Cleanup(cancel)
	return ctx
}

// book is a logger that keeps what is logged.
type book struct {
	mu    sync.Mutex
	lines []string
}

func (b *book) log(level, text string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.lines = append(b.lines, level+" "+text)
}

// textLog is a log that passes level and text to a function.
type textLog func(level, text string)

func (l textLog) Debug(message string, fields ...any) { l("DEBUG", fmt.Sprint(message, " ", fields)) }

func (l textLog) Info(message string, fields ...any) { l("INFO", fmt.Sprint(message, " ", fields)) }

func (l textLog) Warn(message string, fields ...any) { l("WARN", fmt.Sprint(message, " ", fields)) }

func (l textLog) Error(message string, fields ...any) { l("ERROR", fmt.Sprint(message, " ", fields)) }

func (l textLog) Panic(message string, stack []byte, fields ...any) {
	l("ERROR", fmt.Sprint(message, " ", fields)+"\n"+string(stack))
}

func (b *book) all() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]string(nil), b.lines...)
}

func (b *book) has(parts ...string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, l := range b.lines {
		n := 0
		for _, p := range parts {
			if strings.Contains(l, p) {
				n++
			}
		}
		if n == len(parts) {
			return true
		}
	}
	return false
}

type option func(*Config)

func logTo(b *book) option { return func(c *Config) { c.Logger = textLog(b.log) } }

func idOf(t testing.TB) string {
	return strings.NewReplacer("/", "-", "#", "-", " ", "-").Replace(t.Name())
}

// client makes a client that is stopped at the end of the test.
func client(t testing.TB, url string, opts ...option) *Client {
	t.Helper()
	addrs, err := ParseAddresses([]string{url})
	if err != nil {
		t.Fatal(err)
	}
	cfg := Config{
		Connection: Connection{
			Addresses: addrs, ClientID: idOf(t), MinReconnectDelay: time.Millisecond, MaxReconnectDelay: 20 * time.Millisecond,
		},
		Protocol: Version31, Logger: logsafe.Silence, Service: "shop",
	}
	for _, o := range opts {
		o(&cfg)
	}
	c, err := NewClient(cfg, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Stop(within(t, 2*time.Second)) })
	return c
}

// NewClient makes a client from a configuration alone. It replaces old, which may be nil.
func NewClient(cfg Config, old *Client) (*Client, error) {
	lasting := NewLasting()
	if old != nil {
		lasting = old.lasting
	}
	return New(&Settings{Config: cfg}, lasting, nil)
}

// running starts a client with subscriptions and waits until it is ready.
func running(t testing.TB, c *Client, subs ...*Subscription) *Client {
	t.Helper()
	for _, s := range subs {
		if _, err := c.Subscribe(within(t, patience), s); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.Start(within(t, patience)); err != nil {
		t.Fatal(err)
	}
	if err := c.WaitReady(within(t, patience)); err != nil {
		t.Fatal(err)
	}
	return c
}

func publish(t testing.TB, c *Client, topic string, qos byte, payloads ...string) {
	t.Helper()
	for _, p := range payloads {
		if err := c.Publish(within(t, patience), encoded(&Message{Topic: topic, QoS: qos, Payload: []byte(p)}, nil)); err != nil {
			t.Fatal(err)
		}
	}
}

// seen has the messages that handlers received, in order.
type seen struct {
	mu   sync.Mutex
	list []string
}

func (s *seen) add(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.list = append(s.list, fmt.Sprintf(format, args...))
}

func (s *seen) all() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.list...)
}

func (s *seen) wait(t testing.TB, n int) []string {
	t.Helper()
	mqtttest.Eventually(t, patience, func() error {
		if got := s.all(); len(got) < n {
			return fmt.Errorf("%d of %d: %v", len(got), n, got)
		}
		return nil
	})
	return s.all()
}

// on subscribes to a filter at QoS 1.
func on(filter string, h Handler) *Subscription {
	return &Subscription{Filter: filter, QoS: 1, Handler: h}
}

func reasonOf(err error) event.Reason {
	if e, ok := errors.AsType[*event.Error](err); ok {
		return e.Reason
	}
	return ""
}

// acks returns how many PUBACKs the subscriber has sent through a proxy.
func acks(p *mqtttest.Proxy) int { return p.Counts().Passed(mqtttest.ToBroker, mqtttest.TypePuback) }

func eventually(t testing.TB, cond func() bool, message ...any) {
	t.Helper()
	mqtttest.Eventually(t, patience, cond, message...)
}

// encoded returns a message that is already encoded; done may be nil.
func encoded(m *Message, done func(error)) *Outgoing {
	out := &Outgoing{Message: *m, Encoded: true}
	out.Done = done
	return out
}
