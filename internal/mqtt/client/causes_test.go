package client

import (
	"context"
	"errors"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/eclipse/paho.golang/packets"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
)

// answering is an MQTT 5 broker that answers each CONNECT with this code and server
// reference.
func answering(t testing.TB, code byte, reference string) (url string, asked *atomic.Int64) {
	t.Helper()
	asked = new(atomic.Int64)
	return mqtttest.ScriptedBroker(t, func(c net.Conn) {
		if _, err := mqtttest.ReadPacket(c); err != nil {
			return
		}
		asked.Add(1)
		var properties []byte
		if reference != "" {
			properties = append([]byte{packets.PropServerReference}, mqtttest.StringField(reference)...)
		}
		_, _ = c.Write(mqtttest.PacketOf(0x20, []byte{0, code, byte(len(properties))}, properties))
		_, _ = mqtttest.ReadPacket(c)
	}).URL(), asked
}

func at(t testing.TB, urls ...string) option {
	t.Helper()
	addrs, err := ParseAddresses(urls)
	if err != nil {
		t.Fatal(err)
	}
	return func(c *Config) { c.Addresses = addrs }
}

func five(c *Config)     { c.Protocol = Version5 }
func failFast(c *Config) { c.FailFast = true }

// Start fails only if every address refuses the login or settings.
func TestOnlyFinalRefusalsEndStart(t *testing.T) {
	t.Parallel()
	for code, final := range map[byte]bool{
		0x80: false, 0x81: true, 0x82: true, 0x83: false, 0x84: true, 0x85: true, 0x86: true, 0x87: true, 0x88: false,
		0x89: false, 0x8A: true, 0x8C: true, 0x90: true, 0x95: true, 0x97: false, 0x99: true, 0x9A: true, 0x9B: true,
		0x9C: false, 0x9D: false, 0x9F: false,
	} {
		url, _ := answering(t, code, "")
		c := client(t, url, five)
		if err := c.Start(within(t, patience)); (err != nil) != final || c.Running() == final {
			t.Errorf("0x%02X: %v, running %t", code, err, c.Running())
		}
		both := client(t, url, five, at(t, url, mqtttest.InProcess(t).URL()))
		running(t, both) // the second address accepts
		down := client(t, url, five, at(t, nowhere(t), url))
		if err := down.Start(within(t, patience)); err != nil || !down.Running() {
			t.Errorf("0x%02X, and an address that is down: %v", code, err)
		}
	}
}

// One attempt tries the whole list, with fail-fast, too.
func TestOneAttemptIsTheWholeList(t *testing.T) {
	t.Parallel()
	b := mqtttest.InProcess(t)
	var log book
	slow := func(c *Config) { c.MinReconnectDelay, c.MaxReconnectDelay = time.Hour, time.Hour }
	c := client(t, b.URL(), at(t, nowhere(t), nowhere(t), b.URL()), failFast, slow, logTo(&log))
	running(t, c, on("a", ignore))
	eventually(t, func() bool { return log.has("WARN", "cannot connect", "retry_in 0s") }, "the addresses that are down are not logged")
	gone := client(t, nowhere(t), at(t, nowhere(t), nowhere(t)), failFast, slow)
	err := gone.Start(within(t, patience))
	if reasonOf(err) != event.ReasonNetwork || gone.Running() || strings.Count(err.Error(), "connection refused") != 2 {
		t.Errorf("%v", err)
	}
}

// The server reference that a broker sends is logged.
func TestServerReferenceIsLogged(t *testing.T) {
	t.Parallel()
	url, _ := answering(t, 0x9D, "other.example:1883")
	var log book
	c := client(t, url, five, failFast, logTo(&log))
	if err := c.Start(within(t, patience)); err == nil || !strings.Contains(err.Error(), `server reference "other.example:1883"`) {
		t.Errorf("%v", err)
	}
	eventually(t, func() bool { return log.has("WARN", `other.example:1883`) })
}

// A session expiry that the broker has reduced is logged once.
func TestReducedSessionExpiryIsLoggedOnce(t *testing.T) {
	t.Parallel()
	var log book
	url := mqtttest.ScriptedBroker(t, func(c net.Conn) {
		for {
			p, err := mqtttest.ReadPacket(c)
			if err != nil {
				return
			}
			if p.Type() == mqtttest.TypeConnect {
				_, _ = c.Write(mqtttest.PacketOf(0x20, []byte{0, 0, 5}, []byte{packets.PropSessionExpiryInterval, 0, 0, 0, 60}))
			} else if p.Type() == mqtttest.TypePublish {
				return
			}
		}
	}).URL()
	var connected atomic.Int64
	c := client(t, url, five, logTo(&log), func(c *Config) {
		c.Hooks.Connected = func(i event.ConnectAttemptInfo) {
			if i.Err == nil {
				connected.Add(1)
			}
		}
	})
	running(t, c)
	_ = c.Publish(within(t, patience), encoded(&Message{Topic: "a", QoS: 1}, func(error) {}))
	eventually(t, func() bool { return connected.Load() >= 3 })
	var n int
	for _, l := range log.all() {
		if strings.Contains(l, "a shorter time than requested") {
			n++
		}
	}
	if n != 1 {
		t.Errorf("told %d times", n)
	}
}

// Readiness survives the last subscription.
func TestReadyAfterTheLastUnsubscribe(t *testing.T) {
	t.Parallel()
	c := client(t, mqtttest.InProcess(t).URL())
	s := on("a", ignore)
	running(t, c, s)
	if err := c.Unsubscribe(within(t, patience), s); err != nil {
		t.Fatal(err)
	}
	if err := c.WaitReady(within(t, patience)); err != nil {
		t.Error(err)
	}
	if h := c.Health(); !h.Connected || !h.Ready || h.Filters != 0 || h.LastError != nil {
		t.Errorf("%+v", h)
	}
}

// A callback that hangs does not delay Stop, and one that panics does not end the process.
func TestStopWhileACallbackHangs(t *testing.T) {
	t.Parallel()
	hang := make(chan struct{})
	defer close(hang)
	var asked atomic.Int64
	c := client(t, mqtttest.InProcess(t).URL(), func(c *Config) {
		c.ConnectTimeout = 30 * time.Millisecond
		c.Credentials = func(context.Context) (string, string, error) {
			asked.Add(1)
			<-hang
			return "", "", nil
		}
	})
	if err := c.Start(within(t, patience)); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() bool { return c.Status().Attempts > 2 })
	if n := asked.Load(); n != 1 {
		t.Errorf("asked %d times at once", n)
	}
	began := time.Now()
	if err := c.Stop(within(t, time.Second)); err != nil || time.Since(began) > time.Second+slack {
		t.Errorf("after %v: %v", time.Since(began), err)
	}
}

func TestCredentialsThatPanic(t *testing.T) {
	t.Parallel()
	var (
		log   book
		asked atomic.Int64
	)
	c := client(t, mqtttest.InProcess(t).URL(), logTo(&log), func(c *Config) {
		c.Credentials = func(context.Context) (string, string, error) {
			if asked.Add(1) == 1 {
				panic("vault")
			}
			return "", "", nil
		}
	})
	running(t, c)
	if !log.has("ERROR", "credentials callback panicked", "vault") {
		t.Errorf("%v", log.all())
	}
}

// Two Starts have the same outcome.
func TestTwoStartsHaveOneOutcome(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	url := mqtttest.ScriptedBroker(t, func(c net.Conn) {
		if _, err := mqtttest.ReadPacket(c); err == nil {
			select {
			case <-release:
			case <-t.Context().Done():
			}
			_, _ = c.Write(mqtttest.PacketOf(0x20, []byte{0, 0x87, 0}))
			_, _ = mqtttest.ReadPacket(c)
		}
	}).URL()
	c := client(t, url, five)
	outcomes := make(chan error, 4)
	for range cap(outcomes) {
		go func() { outcomes <- c.Start(within(t, patience)) }()
	}
	eventually(t, c.Running)
	if err := c.Start(within(t, 10*time.Millisecond)); reasonOf(err) != event.ReasonTimeout {
		t.Errorf("joined within its own context: %v", err)
	}
	close(release)
	for range cap(outcomes) {
		if err := <-outcomes; reasonOf(err) != event.ReasonNotAuthorized {
			t.Errorf("%v", err)
		}
	}
	if c.Running() {
		t.Error("it runs")
	}
}

// The second Stop waits for the end of the first.
func TestTwoStopsHaveOneOutcome(t *testing.T) {
	t.Parallel()
	started, finish := make(chan struct{}, 1), make(chan struct{})
	var handled atomic.Bool
	c := running(t, client(t, mqtttest.InProcess(t).URL()), on("a", func(context.Context, *Delivery) error {
		started <- struct{}{}
		<-finish
		handled.Store(true)
		return nil
	}))
	publish(t, c, "a", 1, "x")
	<-started
	var stops sync.WaitGroup
	stops.Go(func() {
		if err := c.Stop(within(t, patience)); err != nil || !handled.Load() {
			t.Errorf("first: %v", err)
		}
	})
	eventually(t, func() bool { return !c.Running() })
	if err := c.Stop(within(t, 10*time.Millisecond)); reasonOf(err) != event.ReasonTimeout {
		t.Errorf("joined within its own context: %v", err)
	}
	stops.Go(func() {
		if err := c.Stop(within(t, patience)); err != nil || !handled.Load() {
			t.Errorf("second: %v", err)
		}
	})
	close(finish)
	stops.Wait()
}

func TestStartWithAnEndedContext(t *testing.T) {
	t.Parallel()
	c := client(t, nowhere(t))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := c.Start(ctx); !errors.Is(err, context.Canceled) || reasonOf(err) != event.ReasonCanceled || c.Running() {
		t.Errorf("%v", err)
	}
}
