package mqtt_test

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/tx7do/kratos-transport/broker"
	"google.golang.org/protobuf/types/known/durationpb"

	v1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/v1"
	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/internal/test/proxy"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
	testbroker "github.com/kratos-mqtt/kratos-mqtt/mqtttest/broker"
)

// behind makes a proxy forward everything to the broker of a URL. It returns the
// broker's URL with a host name that only the proxy can resolve.
func behind(t *testing.T, p *proxy.Proxy, raw string) string {
	t.Helper()
	u, err := url.Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	p.To, u.Host = u.Host, "broker.invalid:4711"
	return u.String()
}

// Every connection uses the proxy, for each way to configure it.
func TestProxy(t *testing.T) {
	t.Parallel()
	ca := mqtttest.NewCA(t)
	trust := &v1.Connection{Tls: &v1.TLS{CaFile: ca.CertFile, ServerName: "localhost"}}
	server := mqtttest.InProcess(t, testbroker.WithTLS("127.0.0.1:0", ca.ServerConfig(false)), testbroker.WithWebSocket("127.0.0.1:0", nil))
	for _, scheme := range []string{"http", "socks5h"} {
		for name, address := range map[string]string{"mqtt": server.URL(), "mqtts": server.TLSURL(), "ws": server.WebSocketURL()} {
			t.Run(name+" through "+scheme, func(t *testing.T) {
				t.Parallel()
				p := proxy.New(t, nil)
				p.Login = "user:s3cr3t"
				address := behind(t, p, address)
				opt := mqttbroker.WithProxy(p.URL(scheme, p.Login))
				if name == "mqtts" {
					c := &v1.Connection{Tls: trust.GetTls(), Proxy: p.URL(scheme, p.Login)}
					opt = mqttbroker.WithConnectionConfig(c)
				}
				b, out := logged(t, address, opt)
				if err := b.Connect(); err != nil {
					t.Fatal(err)
				}
				got := subscribe(t, b, "proxied/"+t.Name())
				publish(t, b, "proxied/"+t.Name(), "x")
				if m := receive(t, got); m.body != `"x"` {
					t.Errorf("got %q", m.body)
				}
				for range 2 { // the publisher's connection and the subscriber's
					if asked := receive(t, p.Asked); asked != "broker.invalid:4711" {
						t.Errorf("the proxy was asked for %s", asked)
					}
				}
				if text := fmt.Sprint(out, b, b.Options()); strings.Contains(text, "s3cr3t") {
					t.Errorf("a secret in %s", text)
				}
			})
		}
	}
}

// An error of a proxy names the proxy, without its login, and is returned within
// connect_timeout.
func TestProxyFails(t *testing.T) {
	t.Parallel()
	silent := mqtttest.ScriptedBroker(t, func(nc net.Conn) { _, _ = io.Copy(io.Discard, nc) })
	hanging := strings.TrimPrefix(silent.URL(), "mqtt://")
	p := proxy.New(t, nil)
	p.Login = "user:right"
	for name, tt := range map[string]struct{ proxy, want string }{
		"wrong login":       {p.URL("http", "user:s3cr3t"), "407 Proxy Authentication Required"},
		"wrong SOCKS login": {p.URL("socks5", "user:s3cr3t"), "authentication failed"},
		"hangs":             {"http://user:s3cr3t@" + hanging, "deadline exceeded"},
		"SOCKS hangs":       {"socks5://user:s3cr3t@" + hanging, "deadline exceeded"},
		"is down":           {"http://user:s3cr3t@127.0.0.1:1", "refused"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b, out := logged(t, "mqtt://broker.invalid", mqttbroker.WithFailFast(true), mqttbroker.WithConnectionConfig(&v1.Connection{
				Proxy: tt.proxy, ConnectTimeout: durationpb.New(200 * time.Millisecond),
			}))
			begin := time.Now()
			err := b.Connect()
			if took := time.Since(begin); took > soon {
				t.Errorf("took %v", took)
			}
			wantReason(t, err, event.ReasonNetwork, 503)
			u, _ := url.Parse(tt.proxy)
			for _, want := range []string{"proxy " + u.Scheme + "://" + u.Host, "mqtt://broker.invalid:1883", tt.want} {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%s is not in %v", want, err)
				}
			}
			if text := fmt.Sprint(out, err); strings.Contains(text, "s3cr3t") || strings.Contains(text, proxy.Planted) {
				t.Errorf("a secret in %s", text)
			}
		})
	}
}

// Only the value "environment" reads the proxy from the environment.
func TestProxyOfTheEnvironment(t *testing.T) {
	server, p := mqtttest.InProcess(t), proxy.New(t, nil)
	address := behind(t, p, server.URL())
	for _, name := range []string{"http_proxy", "https_proxy", "all_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"} {
		t.Setenv(name, "")
	}
	t.Setenv("ALL_PROXY", p.URL("socks5", ""))
	b := open(t, address, mqttbroker.WithProxy("environment"))
	if err := b.Connect(); err != nil {
		t.Fatal(err)
	}
	publish(t, b, "a", "x")
	if asked := receive(t, p.Asked); asked != "broker.invalid:4711" {
		t.Errorf("the proxy was asked for %s", asked)
	}
	publish(t, connected(t, server.URL()), "a", "x")
	publish(t, connected(t, server.URL(), mqttbroker.WithProxy("environment")), "a", "x") // never used for addresses of this machine
	if n := len(p.Asked); n != 0 {
		t.Errorf("%d more connections through the proxy", n)
	}
}

func TestProxySettings(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct{ proxy, want string }{
		"scheme":    {"ftp://user:s3cr3t@proxy", "connection.proxy: unknown scheme, use http, https, socks5 or socks5h"},
		"path":      {"http://user:s3cr3t@proxy/s3cr3t", "connection.proxy: path"},
		"port":      {"socks5://proxy:s3cr3t", "connection.proxy: port"},
		"in clear":  {"http://user:s3cr3t@192.0.2.1", ""},
		"encrypted": {"https://user:s3cr3t@192.0.2.1", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b, out := logged(t, "mqtts://broker.invalid", mqttbroker.WithProxy(tt.proxy))
			err := b.Init()
			if (err != nil) != (tt.want != "") || err != nil && !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %s", err, tt.want)
			}
			if warned := out.count("the proxy's password goes to http://192.0.2.1:80 in clear text"); (warned == 1) != (name == "in clear") {
				t.Errorf("%d warnings", warned)
			}
			if text := fmt.Sprint(out, err); strings.Contains(text, "s3cr3t") {
				t.Errorf("a secret in %s", text)
			}
		})
	}
}

// The protocol that is negotiated by TLS comes from the configuration or an option, and
// takes precedence over a TLS configuration in code.
func TestALPN(t *testing.T) {
	t.Parallel()
	ca := mqtttest.NewCA(t)
	config := ca.ServerConfig(false)
	config.NextProtos = []string{"x-amzn-mqtt-ca"}
	chosen := make(chan string, 10)
	l, err := tls.Listen("tcp", "127.0.0.1:0", config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			nc, err := l.Accept()
			if err != nil {
				return
			}
			if nc.(*tls.Conn).Handshake() == nil {
				chosen <- nc.(*tls.Conn).ConnectionState().NegotiatedProtocol
			}
			_ = nc.Close()
		}
	}()
	file := &v1.TLS{CaFile: ca.CertFile}
	for name, tt := range map[string]struct {
		opts []broker.Option
		want string
	}{
		"none":          {[]broker.Option{mqttbroker.WithConnectionConfig(&v1.Connection{Tls: file})}, ""},
		"configuration": {[]broker.Option{mqttbroker.WithConnectionConfig(&v1.Connection{Tls: &v1.TLS{CaFile: ca.CertFile, Alpn: []string{"mqtt", "x-amzn-mqtt-ca"}}})}, "x-amzn-mqtt-ca"},
		"option":        {[]broker.Option{mqttbroker.WithConnectionConfig(&v1.Connection{Tls: file}), mqttbroker.WithALPN("x-amzn-mqtt-ca")}, "x-amzn-mqtt-ca"},
		"code":          {[]broker.Option{broker.WithTLSConfig(ca.ClientConfig()), mqttbroker.WithALPN("x-amzn-mqtt-ca")}, "x-amzn-mqtt-ca"},
	} {
		t.Run(name, func(t *testing.T) {
			b := open(t, "mqtts://"+l.Addr().String(), append(tt.opts, mqttbroker.WithFailFast(true))...)
			if err := b.Connect(); err == nil {
				t.Error("connected to nothing")
			}
			if got := receive(t, chosen); got != tt.want {
				t.Errorf("chose %q, want %q", got, tt.want)
			}
		})
	}
	t.Run("bad", func(t *testing.T) {
		b := open(t, "mqtts://broker.invalid", mqttbroker.WithALPN("mqtt", strings.Repeat("x", 256)))
		if err := b.Init(); err == nil || !strings.Contains(err.Error(), "connection.tls.alpn: has a name of 256 bytes, want 1 to 255") {
			t.Errorf("got %v", err)
		}
	})
}
