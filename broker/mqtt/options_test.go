package mqtt_test

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/tx7do/kratos-transport/broker"
	"google.golang.org/protobuf/types/known/durationpb"

	v1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/v1"
	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
	testbroker "github.com/kratos-mqtt/kratos-mqtt/mqtttest/broker"
)

// connect has the fields of a CONNECT [MQTT-3.1].
type connect struct {
	clean              bool
	keepAlive          int
	id, user, password string
}

func readConnect(p mqtttest.Packet) (c connect) {
	body := p.Body[6:] // after the protocol name
	flags := body[1]
	c.clean, c.keepAlive = flags&2 != 0, int(binary.BigEndian.Uint16(body[2:]))
	rest := body[4:]
	next := func() (s string) {
		n := int(binary.BigEndian.Uint16(rest))
		s, rest = string(rest[2:2+n]), rest[2+n:]
		return s
	}
	c.id = next()
	if flags&0x80 != 0 {
		c.user = next()
	}
	if flags&0x40 != 0 {
		c.password = next()
	}
	return c
}

// greeter accepts every connection and passes on its CONNECT.
func greeter(t *testing.T) (url string, connects <-chan connect) {
	t.Helper()
	ch := make(chan connect, 10)
	fake := mqtttest.ScriptedBroker(t, func(conn net.Conn) {
		p, err := mqtttest.ReadPacket(conn)
		if err != nil {
			return
		}
		ch <- readConnect(p)
		for err == nil {
			if p.Type() == mqtttest.TypeConnect {
				_, err = conn.Write(mqtttest.ConnackPacket(4, false, 0))
			}
			if err == nil {
				p, err = mqtttest.ReadPacket(conn)
			}
		}
	})
	return fake.URL(), ch
}

func withUser(url, user string) string { return strings.Replace(url, "://", "://"+user+"@", 1) }

func TestOptionsReachTheBroker(t *testing.T) {
	t.Parallel()
	yes, no := true, false
	conn := func(change func(*v1.Connection)) broker.Option {
		c := &v1.Connection{
			ClientId: "configured", Username: "cu", Password: "cp", KeepAlive: durationpb.New(20 * time.Second),
		}
		change(c)
		return mqttbroker.WithConnectionConfig(c)
	}
	same := func(*v1.Connection) {}
	tests := map[string]struct {
		user string // user name in the address
		opts []broker.Option
		want connect
	}{
		"client id":        {"", []broker.Option{mqttbroker.WithClientId("c")}, connect{false, 30, "c-pub", "", ""}},
		"clean":            {"", []broker.Option{mqttbroker.WithClientId("c"), mqttbroker.WithCleanSession(true)}, connect{true, 30, "c-pub", "", ""}},
		"auth":             {"", []broker.Option{mqttbroker.WithClientId("c"), mqttbroker.WithAuth("u", "p")}, connect{false, 30, "c-pub", "u", "p"}},
		"keep-alive":       {"", []broker.Option{mqttbroker.WithClientId("c"), mqttbroker.WithKeepAlive(7 * time.Second)}, connect{false, 7, "c-pub", "", ""}},
		"user information": {"au:ap", []broker.Option{mqttbroker.WithClientId("c")}, connect{false, 30, "c-pub", "au", "ap"}},
		"auth over it":     {"au:ap", []broker.Option{mqttbroker.WithClientId("c"), mqttbroker.WithAuth("u", "p")}, connect{false, 30, "c-pub", "u", "p"}},
		"replaced context": {"au:ap", []broker.Option{mqttbroker.WithClientId("c"), broker.WithOptionContext(context.Background())}, connect{false, 30, "c-pub", "au", "ap"}},
		"nil context":      {"", []broker.Option{mqttbroker.WithClientId("c"), broker.WithOptionContext(nil), nil}, connect{false, 30, "c-pub", "", ""}}, //nolint:staticcheck // the case
		"bundle": {"", []broker.Option{mqttbroker.WithClientId("lost"), func(o *broker.Options) {
			broker.WithOptionContext(context.Background())(o)
			mqttbroker.WithClientId("c")(o)
			mqttbroker.WithCleanSession(true)(o)
		}}, connect{true, 30, "c-pub", "", ""}},
		"configuration":         {"", []broker.Option{conn(same)}, connect{false, 20, "configured-pub", "cu", "cp"}},
		"configured clean":      {"", []broker.Option{conn(func(c *v1.Connection) { c.CleanSession = &yes })}, connect{true, 20, "configured-pub", "cu", "cp"}},
		"configured not clean":  {"", []broker.Option{mqttbroker.WithCleanSession(true), conn(func(c *v1.Connection) { c.CleanSession = &no })}, connect{false, 20, "configured-pub", "cu", "cp"}},
		"option after it wins":  {"", []broker.Option{conn(same), mqttbroker.WithClientId("c")}, connect{false, 20, "c-pub", "cu", "cp"}},
		"unset keeps an option": {"", []broker.Option{mqttbroker.WithKeepAlive(9 * time.Second), conn(func(c *v1.Connection) { c.KeepAlive = nil })}, connect{false, 9, "configured-pub", "cu", "cp"}},
		"empty TLS is no TLS":   {"", []broker.Option{conn(func(c *v1.Connection) { c.Tls = &v1.TLS{} })}, connect{false, 20, "configured-pub", "cu", "cp"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url, connects := greeter(t)
			if tt.user != "" {
				url = withUser(url, tt.user)
			}
			for _, reinit := range []bool{false, true} {
				b := open(t, url, tt.opts...)
				if reinit { // more options do not replace the previous ones
					for range 2 {
						if err := b.Init(broker.WithCodec("proto")); err != nil {
							t.Fatal(err)
						}
					}
				}
				if err := b.Connect(); err != nil {
					t.Fatal(err)
				}
				if !tt.want.clean { // a session of an earlier process is ended first
					first := tt.want
					first.clean = true
					if got := receive(t, connects); got != first {
						t.Errorf("reinit %t: first got %+v, want %+v", reinit, got, first)
					}
				}
				if got := receive(t, connects); got != tt.want {
					t.Errorf("reinit %t: got %+v, want %+v", reinit, got, tt.want)
				}
			}
		})
	}
}

func TestConfiguredAddressesAndLastOne(t *testing.T) {
	t.Parallel()
	url, connects := greeter(t)
	const nobody = "mqtt://127.0.0.1:1"
	configured := mqttbroker.WithConnectionConfig(&v1.Connection{Addresses: []string{withUser(url, "u:p")}})
	t.Run("configuration after the option", func(t *testing.T) {
		b := connected(t, nobody, configured)
		if c := receive(t, connects); c.user != "u" || c.password != "p" || !c.clean {
			t.Errorf("got %+v", c)
		}
		if b.Address() != url {
			t.Errorf("address %q, want %q", b.Address(), url)
		}
	})
	t.Run("option after the configuration", func(t *testing.T) {
		b := open(t, nobody, configured, broker.WithAddress(url))
		if err := b.Connect(); err != nil {
			t.Fatal(err)
		}
		if c := receive(t, connects); c.user != "" {
			t.Errorf("got %+v", c)
		}
	})
	t.Run("failover", func(t *testing.T) {
		b := open(t, nobody, broker.WithAddress(nobody, url))
		if err := b.Connect(); err != nil {
			t.Fatal(err)
		}
		receive(t, connects)
	})
}

func TestProblemsAreReportedTogether(t *testing.T) {
	t.Parallel()
	negative := durationpb.New(-time.Second)
	b := mqttbroker.NewBroker(
		broker.WithAddress("mqtt://user:PLANTED@127.0.0.1:1883", "ftp://user:PLANTED@127.0.0.1:1883"),
		mqttbroker.WithConnectionConfig(&v1.Connection{ConnectTimeout: negative, WriteTimeout: negative}),
		mqttbroker.WithPublisherConfig(&v1.Publisher{Timeout: negative}),
		mqttbroker.WithKeepAlive(time.Millisecond),
		mqttbroker.WithProtocolVersion(3),
	)
	check := func(name string, err error) {
		t.Helper()
		wantReason(t, err, event.ReasonBadRequest, 400)
		for _, want := range []string{"scheme", "connection.connect_timeout", "connection.write_timeout", "publisher.timeout", "connection.keep_alive", `connection.protocol: is not known`} {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %q is not in: %v", name, want, err)
			}
		}
		if strings.Contains(err.Error(), "PLANTED") {
			t.Errorf("%s: the password is in: %v", name, err)
		}
	}
	check("Init", b.Init())
	check("Connect", b.Connect())
	check("Publish", b.Publish(t.Context(), "a", broker.NewMessage("x")))
	_, err := b.Subscribe("a", nothing, nil)
	check("Subscribe", err)
	if err := b.Disconnect(); err != nil {
		t.Error(err)
	}
	if s := fmt.Sprintf("%+v %#v", b.Options(), b.Options()) + b.Address(); strings.Contains(s, "PLANTED") {
		t.Errorf("the password is in the options: %s", s)
	}
	server := mqtttest.InProcess(t)
	err = b.Init(broker.WithAddress(server.URL()), mqttbroker.WithProtocolVersion(4), mqttbroker.WithKeepAlive(time.Second),
		mqttbroker.WithConnectionConfig(&v1.Connection{ConnectTimeout: durationpb.New(time.Second), WriteTimeout: durationpb.New(time.Second)}),
		mqttbroker.WithPublisherConfig(&v1.Publisher{Timeout: durationpb.New(time.Second)}))
	if err != nil {
		t.Errorf("put right, Init says %v", err)
	}
}

func TestBadSettings(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		opts []broker.Option
		want string
	}{
		"no address":           {nil, "no broker address"},
		"no configuration":     {[]broker.Option{mqttbroker.WithConnectionConfig(nil)}, "no connection"},
		"TLS, plain address":   {[]broker.Option{broker.WithAddress("mqtt://h:1"), broker.WithTLSConfig(&tls.Config{})}, "plain address"},
		"secure, plain":        {[]broker.Option{broker.WithAddress("mqtt://h:1"), broker.WithEnableSecure(true)}, "plain address"},
		"configured TLS":       {[]broker.Option{mqttbroker.WithConnectionConfig(&v1.Connection{Addresses: []string{"mqtt://h:1"}, Tls: &v1.TLS{ServerName: "h"}})}, "plain address"},
		"MQTT 3.1":             {[]broker.Option{broker.WithAddress("mqtt://h:1"), mqttbroker.WithProtocolVersion(3)}, `connection.protocol: is not known`},
		"bad dead-letter name": {[]broker.Option{broker.WithAddress("mqtt://h:1"), mqttbroker.WithServiceName("a/#")}, "name of the service"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := mqttbroker.NewBroker(tt.opts...).Init()
			wantReason(t, err, event.ReasonBadRequest, 400)
			if !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%q is not in: %v", tt.want, err)
			}
		})
	}
}

// Planted secrets must not appear in any output.
func TestSecretsStayInside(t *testing.T) {
	t.Parallel()
	const secret = "PLANTED-s3cret"
	server := mqtttest.InProcess(t, testbroker.WithUsers(map[string]string{"user": secret}))
	check := func(t *testing.T, b *mqttbroker.Broker, out *logs, errs ...error) {
		t.Helper()
		text := fmt.Sprintf("%s %+v %#v %v %+v %s", out, b.Options(), b.Options(), errs, errs, b.Address())
		if strings.Contains(text, "PLANTED") {
			t.Errorf("the secret is in: %s", text)
		}
	}
	t.Run("in the address", func(t *testing.T) {
		b, out := logged(t, withUser(server.URL(), "user:"+secret))
		if err := b.Init(broker.WithCodec("json")); err != nil {
			t.Fatal(err)
		}
		if err := b.Connect(); err != nil {
			t.Fatal(err)
		}
		publish(t, b, "a", "x")
		server.Stop()
		server.Start()
		publish(t, b, "a", "x")
		check(t, b, out)
	})
	for name, opts := range map[string][]broker.Option{
		"refused, in the address":       {broker.WithAddress(withUser(server.URL(), "user:x"+secret))},
		"refused, by option":            {mqttbroker.WithAuth("user", "x"+secret)},
		"refused, in the configuration": {mqttbroker.WithConnectionConfig(&v1.Connection{Username: "user", Password: "x" + secret})},
	} {
		t.Run(name, func(t *testing.T) {
			b, out := logged(t, server.URL(), opts...)
			err := b.Connect()
			wantReason(t, err, event.ReasonNotAuthorized, 403)
			check(t, b, out, err)
			if err := b.Init(mqttbroker.WithAuth("user", secret)); err != nil {
				t.Fatal(err)
			}
			if err := b.Connect(); err != nil {
				t.Fatalf("put right: %v", err)
			}
			publish(t, b, "a", "x")
			check(t, b, out)
		})
	}
	t.Run("down", func(t *testing.T) {
		b, out := logged(t, withUser("mqtt://127.0.0.1:1", "user:"+secret), mqttbroker.WithFailFast(true))
		err := b.Connect()
		wantReason(t, err, event.ReasonNetwork, 503)
		check(t, b, out, err)
	})
}

func TestIgnoredOptionsAreLoggedOnce(t *testing.T) {
	t.Parallel()
	b, out := logged(t, mqtttest.InProcess(t).URL(),
		mqttbroker.WithResumeSubs(true), mqttbroker.WithOrderMatters(true), mqttbroker.WithErrorLogger(),
		mqttbroker.WithCriticalLogger(), mqttbroker.WithWarnLogger(), mqttbroker.WithDebugLogger(),
		mqttbroker.WithLogger(mqttbroker.LoggerOptions{}), mqttbroker.WithLogger(mqttbroker.LoggerOptions{}))
	for range 3 {
		if err := b.Init(broker.WithCodec("json")); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{
		"WithResumeSubs", "WithOrderMatters", "WithErrorLogger", "WithCriticalLogger", "WithWarnLogger", "WithDebugLogger", "WithLogger",
	} {
		if n := out.count("option " + name + " has no effect"); n != 1 {
			t.Errorf("%s: logged %d times, want once", name, n)
		}
	}
}

func TestWarnings(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		url  string
		opts []broker.Option
		want string // "" means no error
	}{
		"nothing to warn of":      {"mqtt://127.0.0.1:1", []broker.Option{mqttbroker.WithAuth("u", "p")}, ""},
		"password in clear text":  {"mqtt://192.0.2.1:1883", []broker.Option{mqttbroker.WithAuth("u", "p")}, "clear text"},
		"of the address":          {"mqtt://u:p@192.0.2.1:1883", nil, "clear text"},
		"password over TLS":       {"mqtts://192.0.2.1:8883", []broker.Option{mqttbroker.WithAuth("u", "p")}, ""},
		"asked for":               {"tcp://192.0.2.1:1883", []broker.Option{mqttbroker.WithCredentials(func(context.Context) (string, string, error) { return "u", "p", nil })}, "clear text"},
		"over ws":                 {"ws://broker.example/mqtt", []broker.Option{mqttbroker.WithAuth("u", "p")}, "clear text"},
		"a header":                {"ws://broker.example/mqtt", []broker.Option{mqttbroker.WithWebSocketHeader(http.Header{"Authorization": {"Bearer x"}})}, "the Authorization header goes to ws://broker.example:80"},
		"no password":             {"mqtt://192.0.2.1:1883", nil, ""},
		"unverified certificates": {"mqtts://127.0.0.1:1", []broker.Option{mqttbroker.WithConnectionConfig(&v1.Connection{Tls: &v1.TLS{InsecureSkipVerify: true}})}, "not verified"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b, out := logged(t, tt.url, tt.opts...)
			if err := b.Init(); err != nil {
				t.Fatal(err)
			}
			if n := out.count("WARN"); n != min(1, len(tt.want)) || !strings.Contains(out.String(), tt.want) {
				t.Errorf("want %q in the log: %q", tt.want, out)
			}
		})
	}
}

// With strict settings a warning is an error. It contains the key of the setting and no
// secret. Checking a configuration logs nothing.
func TestStrictSettings(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		c    *v1.Connection
		want string // the key; "" means no error
	}{
		"password to another machine": {&v1.Connection{Addresses: []string{"mqtt://192.0.2.1:1883"}, Username: "u", Password: "s3cr3t"}, "connection.addresses"},
		"in the address":              {&v1.Connection{Addresses: []string{"mqtts://a.example", "ws://u:s3cr3t@192.0.2.1/x"}}, "connection.addresses"},
		"header":                      {&v1.Connection{Addresses: []string{"ws://192.0.2.1/x"}, WebsocketHeaders: map[string]string{"authorization": "s3cr3t"}}, "connection.websocket_headers"},
		"proxy":                       {&v1.Connection{Addresses: []string{"mqtts://192.0.2.1"}, Proxy: "http://u:s3cr3t@192.0.2.2:80"}, "connection.proxy"},
		"certificate":                 {&v1.Connection{Addresses: []string{"mqtts://192.0.2.1"}, Tls: &v1.TLS{InsecureSkipVerify: true}}, "connection.tls.insecure_skip_verify"},
		"this machine":                {&v1.Connection{Addresses: []string{"mqtt://127.0.0.1", "ws://localhost", "mqtt://[::1]"}, Username: "u", Password: "s3cr3t"}, ""},
		"encrypted":                   {&v1.Connection{Addresses: []string{"mqtts://192.0.2.1", "wss://192.0.2.1"}, Username: "u", Password: "s3cr3t"}, ""},
		"no password":                 {&v1.Connection{Addresses: []string{"mqtt://192.0.2.1"}}, ""},
	} {
		if err := mqttbroker.Check(&v1.Settings{Connection: tt.c}, false); err != nil {
			t.Errorf("%s, not strict: %v", name, err)
		}
		tt.c.Strict = true
		err := mqttbroker.Check(&v1.Settings{Connection: tt.c}, false)
		if tt.want == "" {
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		if err == nil || !strings.Contains(err.Error(), tt.want+": ") || strings.Contains(err.Error(), "s3cr3t") {
			t.Errorf("%s: %v, want %s", name, err, tt.want)
		}
	}
	if err := mqttbroker.NewBroker(broker.WithAddress("mqtt://u:p@192.0.2.1"), mqttbroker.WithStrict(true)).Init(); err == nil {
		t.Error("by option: no error")
	}
	token := event.NewTokenAuthenticator("JWT", func(context.Context) (event.Token, error) { return event.Token{Value: "s3cr3t"}, nil })
	if err := mqttbroker.NewBroker(broker.WithAddress("mqtt://192.0.2.1"), mqttbroker.WithAuthenticator(token), mqttbroker.WithStrict(true)).Init(); err == nil {
		t.Error("a token in clear text: no error")
	}
}
