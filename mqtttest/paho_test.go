package mqtttest_test

import (
	"crypto/tls"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"

	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
)

const patience = time.Minute

// client is a bare paho client that remembers what it received.
type client struct {
	paho.Client
	mu   sync.Mutex
	seen []string
}

func dial(tb testing.TB, url, id string, change ...func(*paho.ClientOptions)) *client {
	tb.Helper()
	c, err := tryDial(url, id, change...)
	if err != nil {
		tb.Fatalf("connect to %s: %v", url, err)
	}
	tb.Cleanup(func() { c.Disconnect(0) })
	return c
}

func tryDial(url, id string, change ...func(*paho.ClientOptions)) (*client, error) {
	c := new(client)
	o := paho.NewClientOptions().AddBroker(url).SetClientID(id).SetProtocolVersion(4).
		SetAutoReconnect(false).SetConnectTimeout(patience).SetDefaultPublishHandler(c.receive)
	for _, f := range change {
		f(o)
	}
	c.Client = paho.NewClient(o)
	return c, done(c.Connect())
}

func (c *client) receive(_ paho.Client, m paho.Message) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.seen = append(c.seen, fmt.Sprintf("%s %s", m.Topic(), m.Payload()))
}

func (c *client) received() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]string(nil), c.seen...)
}

func (c *client) subscribe(tb testing.TB, filter string, qos byte) (granted byte) {
	tb.Helper()
	t := c.Subscribe(filter, qos, nil)
	if err := done(t); err != nil {
		tb.Fatalf("subscribe %s: %v", filter, err)
	}
	granted = t.(*paho.SubscribeToken).Result()[filter]
	if granted > 2 {
		tb.Fatalf("subscribe %s: refused", filter)
	}
	return granted
}

func (c *client) publish(tb testing.TB, topic string, qos byte, payload string) {
	tb.Helper()
	if err := done(c.Publish(topic, qos, false, payload)); err != nil {
		tb.Fatalf("publish %s: %v", topic, err)
	}
}

func done(t paho.Token) error {
	if !t.WaitTimeout(patience) {
		return errors.New("no answer")
	}
	return t.Error()
}

func persistent(o *paho.ClientOptions) { o.SetCleanSession(false) }

func withTLS(cfg *tls.Config) func(*paho.ClientOptions) {
	return func(o *paho.ClientOptions) { o.SetTLSConfig(cfg) }
}

func (c *client) expect(tb testing.TB, want ...string) {
	tb.Helper()
	mqtttest.Eventually(tb, patience, func() error {
		if got := c.received(); fmt.Sprint(got) != fmt.Sprint(want) {
			return fmt.Errorf("received %q, want %q", got, want)
		}
		return nil
	})
}
