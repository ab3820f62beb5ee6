package broker_test

import (
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"strings"
	"testing"

	paho "github.com/eclipse/paho.mqtt.golang"

	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest/broker"
)

const free = "127.0.0.1:0"

// Every listener leads to the same broker, also after it was stopped and started.
func TestListeners(t *testing.T) {
	t.Parallel()
	ca := mqtttest.NewCA(t)
	b := mqtttest.InProcess(t,
		broker.WithTLS(free, ca.ServerConfig(false)), broker.WithWebSocket(free, nil))
	secure := mqtttest.InProcess(t, broker.WithWebSocket(free, ca.ServerConfig(false)))
	for _, url := range []string{b.URL(), b.TLSURL(), b.WebSocketURL(), secure.WebSocketURL()} {
		scheme, _, _ := strings.Cut(url, "://")
		t.Run(scheme, func(t *testing.T) {
			throughListener(t, url, ca.ClientConfig())
		})
	}
	before := []string{b.URL(), b.TLSURL(), b.WebSocketURL()}
	b.Stop()
	b.Start()
	for i, url := range []string{b.URL(), b.TLSURL(), b.WebSocketURL()} {
		if url != before[i] {
			t.Errorf("%s became %s", before[i], url)
		}
		throughListener(t, url, ca.ClientConfig())
	}
}

// A page of a browser reaches the broker of this machine only under a name of this machine.
func TestPagesOfOtherHostsAreRefused(t *testing.T) {
	t.Parallel()
	url := "http" + strings.TrimPrefix(mqtttest.InProcess(t, broker.WithWebSocket(free, nil)).WebSocketURL(), "ws")
	_, port, _ := strings.Cut(strings.TrimSuffix(url, "/mqtt"), "1:")
	for _, c := range []struct {
		host, origin string
		want         int
	}{
		{"evil.example:" + port, "http://evil.example:" + port, http.StatusForbidden},
		{"127.0.0.1:" + port, "http://evil.example:" + port, http.StatusForbidden},
		{"localhost:" + port, "http://localhost:" + port, http.StatusSwitchingProtocols},
		{"127.0.0.1:" + port, "http://127.0.0.1:" + port, http.StatusSwitchingProtocols},
		{"[::1]:" + port, "http://[::1]:" + port, http.StatusSwitchingProtocols},
		{"broker.example:" + port, "", http.StatusSwitchingProtocols}, // no page
	} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Host = c.host
		for name, value := range map[string]string{
			"Connection": "Upgrade", "Upgrade": "websocket", "Sec-Websocket-Version": "13",
			"Sec-Websocket-Key": "MDEyMzQ1Njc4OWFiY2RlZg==", "Sec-Websocket-Protocol": "mqtt", "Origin": c.origin,
		} {
			if value != "" {
				r.Header.Set(name, value)
			}
		}
		res, err := new(http.Transport).RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != c.want {
			t.Errorf("host %s, origin %s: %d, want %d", c.host, c.origin, res.StatusCode, c.want)
		}
	}
}

// throughListener sends more than a buffer holds through a broker and back.
func throughListener(t *testing.T, url string, config *tls.Config) {
	t.Helper()
	var in inbox
	c := paho.NewClient(paho.NewClientOptions().AddBroker(url).SetClientID(url).SetTLSConfig(config).SetAutoReconnect(false).
		SetDefaultPublishHandler(func(_ paho.Client, m paho.Message) { in.add(string(m.Payload())) }))
	for _, do := range []func() paho.Token{
		c.Connect,
		func() paho.Token { return c.Subscribe(url, 2, nil) },
	} {
		if token := do(); !token.WaitTimeout(patience) || token.Error() != nil {
			t.Fatal(token.Error())
		}
	}
	var want []string
	for _, n := range []int{1, 1 << 10, 200 << 10} {
		want = append(want, strings.Repeat("x", n))
		if token := c.Publish(url, 2, false, want[len(want)-1]); !token.WaitTimeout(patience) || token.Error() != nil {
			t.Fatal(token.Error())
		}
	}
	in.expect(t, want...)
	c.Disconnect(0)
}

func TestAddresses(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		opts []broker.Option
		want []string
	}{
		"all interfaces":     {[]broker.Option{broker.WithAddress(":1883")}, []string{":1883", "loopback"}},
		"any address":        {[]broker.Option{broker.WithAddress("0.0.0.0:1883")}, []string{"0.0.0.0:1883"}},
		"other machine":      {[]broker.Option{broker.WithAddress("192.0.2.1:1883")}, []string{"192.0.2.1:1883"}},
		"no port":            {[]broker.Option{broker.WithAddress("127.0.0.1")}, []string{"127.0.0.1", "port"}},
		"TLS without config": {[]broker.Option{broker.WithTLS(free, nil)}, []string{"TLS"}},
		"all at once": {
			[]broker.Option{broker.WithAddress(":1"), broker.WithWebSocket(":2", nil), broker.MaxPacket(0), broker.MaxConnections(0), broker.WithLogger(nil)},
			[]string{":1", ":2", "packets", "connections", "logger"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := broker.Listen(test.opts...)
			if err == nil {
				t.Fatal("accepted")
			}
			for _, part := range test.want {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("error %q does not tell %q", err, part)
				}
			}
		})
	}
	if _, err := broker.Listen(broker.WithAddress(":1883")); !errors.Is(err, broker.ErrNotLoopback) {
		t.Errorf("%v is not ErrNotLoopback", err)
	}
	b, err := broker.Listen(broker.WithAddress(":0"), broker.AllowNonLoopback())
	if err != nil {
		t.Fatalf("allowed address refused: %v", err)
	}
	b.Close()
}

func TestTakenAddress(t *testing.T) {
	t.Parallel()
	first := mqtttest.InProcess(t)
	_, err := broker.Listen(broker.WithAddress(free), broker.WithWebSocket(first.Addr(), nil))
	var system *net.OpError
	if !errors.As(err, &system) || !strings.Contains(err.Error(), first.Addr()) {
		t.Errorf("error %v", err)
	}
}

func TestConnectionsAboveTheBoundAreClosed(t *testing.T) {
	t.Parallel()
	b := mqtttest.InProcess(t, broker.MaxConnections(1))
	first := connect(t, b, 5, "first", true)
	dial(t, b, 5).ExpectClosed()
	first.sync()
	if n := b.Counts().Refused; n != 1 {
		t.Errorf("%d refused, want 1", n)
	}
	first.goodbye()
	mqtttest.Eventually(t, patience, func() bool {
		c, err := net.Dial("tcp", b.Addr())
		if err != nil {
			return false
		}
		defer c.Close()
		if _, err := c.Write(mqtttest.ConnectPacket(4, "second", true)); err != nil {
			return false
		}
		p, err := mqtttest.ReadPacket(c)
		return err == nil && p.Type() == broker.Connack
	})
}

func TestUsers(t *testing.T) {
	t.Parallel()
	b := mqtttest.InProcess(t, broker.WithUsers(map[string]string{"ann": "right", "bob": ""}))
	for _, test := range []struct {
		user, password string
		want           byte
	}{
		{"ann", "right", 0},
		{"bob", "", 0},
		{"ann", "wrong", 4},
		{"ann", "", 4},
		{"eve", "right", 4},
		{"", "", 4},
	} {
		c := dial(t, b, 4)
		c.Send(mqtttest.PacketOf(0x10, mqtttest.StringField("MQTT"), []byte{4, 0xC2, 0, 30},
			mqtttest.StringField("c"), mqtttest.StringField(test.user), mqtttest.StringField(test.password)))
		if got := c.Expect(broker.Connack).Body[1]; got != test.want {
			t.Errorf("user %q, password %q: code %d, want %d", test.user, test.password, got, test.want)
		}
	}
	nobody := dial(t, b, 5)
	nobody.Send(mqtttest.ConnectPacket(5, "nobody", true))
	if got := nobody.Expect(broker.Connack).Body[1]; got != 0x86 {
		t.Errorf("without a user: %#x", got)
	}
}
