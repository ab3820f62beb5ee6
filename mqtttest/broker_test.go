package mqtttest_test

import (
	"fmt"
	"testing"

	paho "github.com/eclipse/paho.mqtt.golang"

	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
	testbroker "github.com/kratos-mqtt/kratos-mqtt/mqtttest/broker"
)

func brokers() map[string]func(testing.TB) mqtttest.Broker {
	return map[string]func(testing.TB) mqtttest.Broker{
		"in-process": func(tb testing.TB) mqtttest.Broker { return mqtttest.InProcess(tb) },
		"mosquitto":  func(tb testing.TB) mqtttest.Broker { return mqtttest.Mosquitto(tb) },
		"nats":       func(tb testing.TB) mqtttest.Broker { return mqtttest.NATS(tb) },
		"rabbitmq":   func(tb testing.TB) mqtttest.Broker { return rabbit.Broker(tb) },
	}
}

// onEach runs a test against every broker.
func onEach(t *testing.T, f func(*testing.T, mqtttest.Broker)) {
	t.Helper()
	for name, start := range brokers() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := start(t)
			if got := b.Features().Name; got != name {
				t.Errorf("name %q, want %q", got, name)
			}
			f(t, b)
		})
	}
}

func TestPublishReachesSubscriber(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, b mqtttest.Broker) {
		for qos := byte(0); qos <= 2; qos++ {
			sub := dial(t, b.URL(), fmt.Sprintf("sub%d", qos))
			granted := qos
			if qos == 2 && !b.Features().QoS2 {
				granted = 1
			}
			if got := sub.subscribe(t, fmt.Sprintf("q%d/+", qos), qos); got != granted {
				t.Errorf("QoS %d granted as %d, want %d", qos, got, granted)
			}
			pub := dial(t, b.URL(), fmt.Sprintf("pub%d", qos))
			pub.publish(t, fmt.Sprintf("q%d/a", qos), qos, "hello")
			sub.expect(t, fmt.Sprintf("q%d/a hello", qos))
		}
	})
}

func TestSessionSurvivesStopAndStart(t *testing.T) {
	t.Run("in-process", func(t *testing.T) { sessionSurvivesStopAndStart(t, mqtttest.InProcess(t)) })
	t.Run("mosquitto", func(t *testing.T) { sessionSurvivesStopAndStart(t, mqtttest.Mosquitto(t)) })
	t.Run("nats", func(t *testing.T) { sessionSurvivesStopAndStart(t, mqtttest.NATS(t)) })
	// The node is shared: nothing runs in parallel with this test.
	t.Run("rabbitmq", func(t *testing.T) { sessionSurvivesStopAndStart(t, rabbit.Broker(t)) })
}

func sessionSurvivesStopAndStart(t *testing.T, b mqtttest.Broker) {
	if !b.Features().PersistsOverRestart {
		t.Fatalf("%s does not persist", b.Features().Name)
	}
	url := b.URL()
	sub := dial(t, url, "keeper", persistent)
	sub.subscribe(t, "kept/#", 1)
	sub.Disconnect(50)
	pub := dial(t, url, "pub")
	for i := range 3 {
		pub.publish(t, "kept/x", 1, fmt.Sprint(i))
	}
	if err := done(pub.Publish("state/x", 1, true, "on")); err != nil {
		t.Fatal(err)
	}

	b.Stop()
	b.Stop() // once is enough
	if _, err := tryDial(url, "nobody"); err == nil {
		t.Fatal("a stopped broker answers")
	}
	b.Start()
	if b.URL() != url {
		t.Fatalf("address changed from %s to %s", url, b.URL())
	}

	again := dial(t, url, "keeper", persistent)
	again.expect(t, "kept/x 0", "kept/x 1", "kept/x 2")
	if !b.Features().PersistsRetained {
		return
	}
	fresh := dial(t, url, "fresh")
	fresh.subscribe(t, "state/#", 1)
	fresh.expect(t, "state/x on")
}

func TestListenersAndCredentials(t *testing.T) {
	t.Parallel()
	type listening interface {
		mqtttest.Broker
		TLSURL() string
		WebSocketURL() string
	}
	ca := mqtttest.NewCA(t)
	other := mqtttest.NewCA(t)
	for name, start := range map[string]func(*testing.T) listening{
		"in-process": func(t *testing.T) listening {
			return mqtttest.InProcess(t, testbroker.WithWebSocket("127.0.0.1:0", nil),
				testbroker.WithTLS("127.0.0.1:0", ca.ServerConfig(true)), testbroker.WithUsers(map[string]string{"ann": "s3cret"}))
		},
		"mosquitto": func(t *testing.T) listening {
			return mqtttest.Mosquitto(t, mqtttest.WithWebSocket(), mqtttest.WithClientCertificates(ca), mqtttest.WithCredentials("ann", "s3cret"))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := start(t)
			login := func(o *paho.ClientOptions) { o.SetUsername("ann").SetPassword("s3cret") }
			for i, url := range []string{b.URL(), b.WebSocketURL(), b.TLSURL()} {
				c := dial(t, url, fmt.Sprint("good", i), login, withTLS(ca.ClientConfig()))
				c.subscribe(t, "x", 1)
				c.publish(t, "x", 1, "y")
				c.expect(t, "x y")
			}
			if _, err := tryDial(b.URL(), "anonymous"); err == nil {
				t.Error("admitted without credentials")
			}
			wrong := func(o *paho.ClientOptions) { o.SetUsername("ann").SetPassword("S3cret") }
			if _, err := tryDial(b.URL(), "wrong", wrong); err == nil {
				t.Error("admitted with a wrong password")
			}
			if _, err := tryDial(b.TLSURL(), "stranger", login, withTLS(other.ClientConfig())); err == nil {
				t.Error("TLS with another authority succeeded")
			}
			noCert := ca.ClientConfig()
			noCert.Certificates = nil
			if _, err := tryDial(b.TLSURL(), "nocert", login, withTLS(noCert)); err == nil {
				t.Error("TLS without a client certificate succeeded")
			}
		})
	}
}
