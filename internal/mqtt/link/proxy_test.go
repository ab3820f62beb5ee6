package link

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/internal/test/proxy"
)

func mustProxy(t *testing.T, raw string) Proxy {
	t.Helper()
	p, err := ParseProxy(raw)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestProxyEveryScheme(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	brokers := map[string]string{
		"tcp": listen(t, nil, echo), "tls": listen(t, ca.serverConfig(), echo),
		"ws": listenWebSocket(t, ca, "ws", echo), "wss": listenWebSocket(t, ca, "wss", echo),
	}
	config := ca.serverConfig()
	for _, login := range []string{"", "user:" + hidden + "%40%3A"} {
		for scheme, broker := range brokers {
			for _, kind := range []string{"http", "https", "socks5", "socks5h"} {
				t.Run(fmt.Sprintf("%s through %s, login %t", scheme, kind, login != ""), func(t *testing.T) {
					t.Parallel()
					p := proxy.New(t, config)
					p.To = broker
					if login != "" {
						p.Login = "user:" + hidden + "@:"
					}
					d := Dialer{TLS: ca.trust, Proxy: mustProxy(t, p.URL(kind, login))}
					// Only the proxy can resolve this name.
					a := mustParse(t, scheme+"://broker.invalid:7")
					if scheme == "tls" || scheme == "wss" { // for the TLS connection to the proxy the proxy's name is verified
						d.TLS = func() (*tls.Config, error) { return LoadTLS(ca.File, "", "", "localhost", false) }
					}
					ctx, cancel := context.WithCancel(t.Context())
					nc, err := d.Dial(ctx, a)
					cancel() // it applies to dialing only
					if err != nil {
						t.Fatal(err)
					}
					checkEcho(t, nc)
					_ = nc.Close()
					if got := <-p.Asked; got != "broker.invalid:7" {
						t.Errorf("asked for %s", got)
					}
				})
			}
		}
	}
}

// The connection ends when the broker closes its side, and our end reaches the
// broker.
func TestProxyKeepsHalfClose(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"http", "socks5"} {
		p := proxy.New(t, nil)
		p.To = listen(t, nil, echo)
		nc, err := (&Dialer{Proxy: mustProxy(t, p.URL(kind, ""))}).Dial(t.Context(), mustParse(t, "tcp://broker.invalid"))
		if err != nil {
			t.Fatal(err)
		}
		_ = nc.SetDeadline(time.Now().Add(patience))
		_, _ = io.WriteString(nc, "last words")
		if err := nc.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(nc); string(got) != "last words" || err != nil {
			t.Errorf("%s: %q, %v", kind, got, err)
		}
		_ = nc.Close()
	}
}

func TestProxyFails(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	const clock = 3 * time.Second
	login := proxy.New(t, ca.serverConfig())
	login.Login = "user:" + hidden
	open := proxy.New(t, ca.serverConfig())
	silent := listen(t, nil, func(nc net.Conn) { _, _ = io.Copy(io.Discard, nc) })
	says200 := func(rest string) string {
		return "http://" + listen(t, nil, func(nc net.Conn) {
			_, _ = nc.Read(make([]byte, 1000))
			_, _ = io.WriteString(nc, rest)
			_, _ = io.Copy(io.Discard, nc)
		})
	}
	user := "user:wrong" + hidden
	for _, tc := range []struct {
		name, proxy string
		want        string
	}{
		{"http, no login", login.URL("http", ""), "CONNECT is answered with 407 Proxy Authentication Required"},
		{"http, wrong login", login.URL("http", user), "407"},
		{"socks5, no login", login.URL("socks5", ""), "SOCKS: "},
		{"socks5, wrong login", login.URL("socks5", user), "SOCKS: username/password authentication failed"},
		{"http, no way to the broker", open.URL("http", ""), "502 Bad Gateway"},
		{"socks5, no way to the broker", open.URL("socks5", ""), "SOCKS: unknown error connection refused"},
		{"http, nobody listens", "http://u:" + hidden + "@127.0.0.1:1", "refused"},
		{"socks5, nobody listens", "socks5://u:" + hidden + "@127.0.0.1:1", "refused"},
		{"http hangs", "http://u:" + hidden + "@" + silent, context.DeadlineExceeded.Error()},
		{"https hangs", "https://u:" + hidden + "@" + silent, context.DeadlineExceeded.Error()},
		{"socks5 hangs", "socks5://u:" + hidden + "@" + silent, context.DeadlineExceeded.Error()},
		{"https, unknown authority", strings.Replace(open.URL("https", ""), "://", "://u:"+hidden+"@", 1), "TLS handshake"},
		{"plain where TLS is", "http" + strings.TrimPrefix(open.URL("https", ""), "https"), "no answer to CONNECT"},
		{"TLS where plain is", "https" + strings.TrimPrefix(open.URL("http", ""), "http"), "TLS handshake"},
		{"no HTTP", says200("+OK POP3\r\n"), "no answer to CONNECT"},
		{"an endless header", says200("HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", controlLimit)), "no answer to CONNECT"},
		{"bytes behind it", says200("HTTP/1.1 200 OK\r\n\r\n" + hidden), "bytes after the answer"},
		{"a redirect", says200("HTTP/1.1 302 " + hidden + "\r\nLocation: http://" + hidden + "\r\n\r\n"), "302 Found"},
		{"a reply of another SOCKS", "socks5" + strings.TrimPrefix(says200("\x04\x5a"), "http"), "unexpected protocol version"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			d := Dialer{Proxy: mustProxy(t, tc.proxy)}
			if strings.Contains(tc.name, "hangs") {
				d.Timeout = clock
			}
			begin := time.Now()
			nc, err := d.Dial(t.Context(), mustParse(t, "tcp://u:"+hidden+"@127.0.0.1:1"))
			if err == nil {
				_ = nc.Close()
				t.Fatal("connected")
			}
			failed, ok := errors.AsType[*ProxyError](err)
			if !ok || !strings.Contains(err.Error(), tc.want) {
				t.Fatalf("got %v, want %s", err, tc.want)
			}
			if scheme, _, _ := strings.Cut(tc.proxy, "://"); !strings.HasPrefix(failed.Proxy, scheme+"://127.0.0.1:") {
				t.Errorf("names %s", failed.Proxy)
			}
			if strings.Contains(err.Error(), hidden) || strings.Contains(err.Error(), proxy.Planted) {
				t.Errorf("a secret in %v", err)
			}
			if took := time.Since(begin); took > patience {
				t.Errorf("took %v", took)
			}
		})
	}
}

// The proxy receives no certificate of ours, even if it requests one.
func TestProxyGetsNoCertificate(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	cert, key := ca.leaf("client")
	shown := make(chan int, 1)
	config := ca.serverConfig()
	config.ClientAuth = tls.RequestClientCert
	proxy := listen(t, config, func(nc net.Conn) {
		if nc.(*tls.Conn).Handshake() == nil {
			shown <- len(nc.(*tls.Conn).ConnectionState().PeerCertificates)
		}
	})
	d := Dialer{Proxy: mustProxy(t, "https://"+proxy), TLS: func() (*tls.Config, error) { return LoadTLS(ca.File, cert, key, "elsewhere", false) }}
	if _, err := d.Dial(t.Context(), mustParse(t, "tls://broker.invalid")); err == nil {
		t.Error("connected")
	}
	if n := <-shown; n != 0 {
		t.Errorf("%d certificates", n)
	}
}

func TestParseProxy(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ raw, want string }{
		{"proxy", "http://proxy:80"},
		{"http://proxy", "http://proxy:80"},
		{"HTTPS://user:" + hidden + "@proxy/", "https://proxy:443"},
		{"socks5://proxy", "socks5://proxy:1080"},
		{"socks5h://user:" + hidden + "@[::1]:9", "socks5h://[::1]:9"},
	} {
		p, err := ParseProxy(tc.raw)
		if err != nil {
			t.Errorf("%s: %v", tc.raw, err)
			continue
		}
		for _, scheme := range []string{"tcp", "tls", "ws", "wss"} {
			if a, ok := p.of(mustParse(t, scheme+"://localhost")); !ok || a.String() != tc.want {
				t.Errorf("%s: %s, %t, want %s", tc.raw, a, ok, tc.want)
			}
		}
		if text := fmt.Sprintf("%v %+v %#v", p, p, p); strings.Contains(text, hidden) {
			t.Errorf("a secret in %s", text)
		}
	}
	for _, tc := range []struct {
		raw  string
		want error
	}{
		{"socks4://proxy", ErrProxyScheme},
		{"tcp://proxy", ErrProxyScheme},
		{hidden + "://proxy", ErrProxyScheme},
		{"http://", ErrHost},
		{"::", ErrHost},
		{"socks5://[::]:1080", ErrHost},
		{"http://0.0.0.0:3128", ErrHost},
		{"http://user:" + hidden + "@", ErrHost},
		{"http://proxy:0", ErrPort},
		{"http://proxy:" + hidden, ErrPort},
		{"http://proxy/" + hidden, ErrPath},
		{"http://proxy?" + hidden, ErrPath},
		{"http://us/er:" + hidden + "@proxy", ErrUserinfo},
		{"http://pro xy", ErrCharacter},
		{"http://proxy\r\n" + hidden, ErrCharacter},
		{"socks5://u:" + strings.Repeat("x", 256) + "@proxy", nil},
		{"socks5://:" + hidden + "@proxy", nil},
	} {
		_, err := ParseProxy(tc.raw)
		if err == nil || tc.want != nil && !errors.Is(err, tc.want) {
			t.Errorf("%s: got %v, want %v", tc.raw, err, tc.want)
		} else if strings.Contains(err.Error(), hidden) {
			t.Errorf("a secret in %v", err)
		}
	}
}

func TestProxyOfTheEnvironment(t *testing.T) {
	all := []string{
		"http_proxy", "https_proxy", "all_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "REQUEST_METHOD",
	}
	for _, tc := range []struct {
		name            string
		env             map[string]string
		tcp, tls, ws, w string // "" means no proxy
	}{
		{"nothing", nil, "", "", "", ""},
		{"all", map[string]string{"ALL_PROXY": "socks5://all"}, "socks5://all:1080", "socks5://all:1080", "socks5://all:1080", "socks5://all:1080"},
		{"lower case", map[string]string{"all_proxy": "all:1"}, "http://all:1", "http://all:1", "http://all:1", "http://all:1"},
		{"encrypted", map[string]string{"HTTPS_PROXY": "secure"}, "", "http://secure:80", "", "http://secure:80"},
		{"web", map[string]string{"HTTP_PROXY": "web"}, "", "", "http://web:80", ""},
		{"over all", map[string]string{"ALL_PROXY": "all", "https_proxy": "https://secure", "http_proxy": "web"}, "http://all:80", "https://secure:443", "http://web:80", "https://secure:443"},
		{"not here", map[string]string{"ALL_PROXY": "all", "NO_PROXY": ".example,10.0.0.0/8"}, "", "", "", ""},
		{"not at this port", map[string]string{"ALL_PROXY": "all", "no_proxy": "broker.example:443"}, "http://all:80", "http://all:80", "http://all:80", ""},
		{"nowhere", map[string]string{"ALL_PROXY": "all", "NO_PROXY": "*"}, "", "", "", ""},
		{"CGI", map[string]string{"HTTP_PROXY": "from a header", "ALL_PROXY": "all", "REQUEST_METHOD": "GET"}, "http://all:80", "http://all:80", "http://all:80", "http://all:80"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			for _, name := range all {
				t.Setenv(name, "")
			}
			for name, value := range tc.env {
				t.Setenv(name, value)
			}
			p, err := ParseProxy(ProxyEnvironment)
			if err != nil {
				t.Fatal(err)
			}
			for scheme, want := range map[string]string{"tcp": tc.tcp, "mqtts": tc.tls, "ws": tc.ws, "wss": tc.w} {
				got := ""
				if a, ok := p.of(mustParse(t, scheme+"://broker.example")); ok {
					got = a.String()
				}
				if got != want {
					t.Errorf("%s: %q, want %q", scheme, got, want)
				}
				if a, ok := p.of(mustParse(t, scheme+"://127.0.0.1")); ok {
					t.Errorf("%s: %s to this machine", scheme, a)
				}
			}
		})
	}
	t.Setenv("HTTPS_PROXY", "gopher://"+hidden)
	if _, err := ParseProxy(ProxyEnvironment); !errors.Is(err, ErrProxyScheme) || !strings.Contains(err.Error(), "HTTPS_PROXY") || strings.Contains(err.Error(), hidden) {
		t.Errorf("got %v", err)
	}
}
