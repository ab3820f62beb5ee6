package link

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/kratos-mqtt/kratos-mqtt/internal/test/proxy"
)

// patience is how long tests wait for an event that must happen.
const patience = time.Minute

// slack is the tolerance for a busy machine.
const slack = 20 * time.Second

// listen accepts connections on loopback and passes each to serve.
func listen(t *testing.T, config *tls.Config, serve func(net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if config != nil {
		l = tls.NewListener(l, config)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			nc, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer nc.Close()
				serve(nc)
			}()
		}
	}()
	t.Cleanup(func() { _ = l.Close(); <-done })
	return l.Addr().String()
}

func echo(nc net.Conn) { _, _ = io.Copy(nc, nc) }

// webSocket passes the byte stream of each WebSocket connection to serve.
func webSocket(serve func(net.Conn), subprotocols ...string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ws, err := websocket.Accept(w, r, &websocket.AcceptOptions{Subprotocols: subprotocols})
		if err != nil {
			return
		}
		defer ws.CloseNow()
		serve(websocket.NetConn(r.Context(), ws, websocket.MessageBinary))
	})
}

// listenWebSocket accepts ws or wss connections and passes each to serve.
func listenWebSocket(t *testing.T, ca *authority, scheme string, serve func(net.Conn)) string {
	t.Helper()
	server := httptest.NewUnstartedServer(webSocket(serve, subprotocol))
	if scheme == "wss" {
		server.TLS = ca.serverConfig()
		server.StartTLS()
	} else {
		server.Start()
	}
	t.Cleanup(server.Close)
	return server.Listener.Addr().String()
}

func mustParse(t *testing.T, raw string) Address {
	t.Helper()
	a, err := ParseAddress(raw)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func port(t *testing.T, hostPort string) string {
	t.Helper()
	_, p, err := net.SplitHostPort(hostPort)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func checkEcho(t *testing.T, nc net.Conn) {
	t.Helper()
	_ = nc.SetDeadline(time.Now().Add(patience))
	for _, size := range []int{1, 300, 100_000} {
		sent := strings.Repeat("x", size)
		failed := make(chan error, 1)
		go func() { _, err := io.WriteString(nc, sent); failed <- err }()
		got := make([]byte, size)
		if _, err := io.ReadFull(nc, got); err != nil || string(got) != sent {
			t.Fatalf("%d bytes: %v", size, err)
		}
		if err := <-failed; err != nil {
			t.Fatal(err)
		}
	}
}

func TestDialEveryScheme(t *testing.T) {
	// No t.Parallel, because it sets the environment, which must have no
	// effect.
	for _, name := range []string{"http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"} {
		t.Setenv(name, "socks5://127.0.0.1:1") // T29
	}
	ca := newAuthority(t)
	plain := listen(t, nil, echo)
	secure := listen(t, ca.serverConfig(), echo)
	ws := listenWebSocket(t, ca, "ws", echo)
	wss := listenWebSocket(t, ca, "wss", echo)

	d := Dialer{TLS: ca.trust}
	for _, raw := range []string{
		plain, "tcp://" + plain, "mqtt://" + plain,
		"ssl://" + secure, "tls://" + secure, "mqtts://localhost:" + port(t, secure),
		"ws://" + ws, "ws://" + ws + "/path?query", "wss://" + wss, "wss://localhost:" + port(t, wss),
	} {
		a := mustParse(t, raw)
		ctx, cancel := context.WithCancel(t.Context())
		nc, err := d.Dial(ctx, a)
		cancel() // it applies to dialing only
		if err != nil {
			t.Errorf("%s: %v", raw, err)
			continue
		}
		if got := nc.RemoteAddr().String(); port(t, got) != port(t, a.HostPort()) {
			t.Errorf("%s: remote address %s", raw, got)
		}
		checkEcho(t, nc)
		if err := nc.Close(); err != nil {
			t.Errorf("%s: close: %v", raw, err)
		}
	}
}

func TestDialReadsTLSAnew(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	server := ca.serverConfig()
	server.ClientAuth = tls.RequireAnyClientCert
	seen := make(chan string, 2)
	addr := listen(t, server, func(nc net.Conn) {
		if nc.(*tls.Conn).Handshake() == nil {
			seen <- nc.(*tls.Conn).ConnectionState().PeerCertificates[0].Subject.CommonName
		}
	})
	names := []string{"first", "second"}
	var dials atomic.Int32
	d := Dialer{TLS: func() (*tls.Config, error) {
		cert, key := ca.leaf(names[dials.Add(1)-1])
		return LoadTLS(ca.File, cert, key, "", false)
	}}
	for _, want := range names {
		nc, err := d.Dial(t.Context(), mustParse(t, "tls://"+addr))
		if err != nil {
			t.Fatal(err)
		}
		if got := <-seen; got != want {
			t.Errorf("certificate %q, want %q", got, want)
		}
		_ = nc.Close()
	}
}

func TestDialFails(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	secure := listen(t, ca.serverConfig(), echo)
	old := ca.serverConfig()
	old.MaxVersion = tls.VersionTLS11
	ancient := listen(t, old, echo)
	silent := listen(t, nil, func(nc net.Conn) { _, _ = io.Copy(io.Discard, nc) })
	closed := listen(t, nil, func(net.Conn) {})
	web := func(h http.Handler) string {
		s := httptest.NewServer(h)
		t.Cleanup(s.Close)
		return s.Listener.Addr().String()
	}
	other := web(webSocket(echo, "other"))
	target := web(webSocket(echo, subprotocol))
	redirect := web(http.RedirectHandler("http://"+target, http.StatusFound))
	errTLS := errors.New("no certificate today")

	for _, tc := range []struct {
		name string
		d    Dialer
		raw  string
		want func(error) bool
	}{
		{"unknown authority", Dialer{}, "tls://" + secure, has[*tls.CertificateVerificationError]},
		{"wrong name", Dialer{TLS: func() (*tls.Config, error) { return LoadTLS(ca.File, "", "", "elsewhere", false) }}, "tls://" + secure, has[*tls.CertificateVerificationError]},
		{"TLS 1.1", Dialer{TLS: ca.trust}, "tls://" + ancient, says("TLS handshake")},
		{"TLS function", Dialer{TLS: func() (*tls.Config, error) { return nil, errTLS }}, "tls://" + secure, is(errTLS)},
		{"TLS function wss", Dialer{TLS: func() (*tls.Config, error) { return nil, errTLS }}, "wss://" + secure, is(errTLS)},
		{"TLS silence", Dialer{Timeout: 3 * time.Second}, "tls://" + silent, is(context.DeadlineExceeded)},
		{"WebSocket silence", Dialer{Timeout: 3 * time.Second}, "ws://u:" + hidden + "@" + silent + "/?" + hidden, is(context.DeadlineExceeded)},
		{"WebSocket closed", Dialer{}, "ws://u:" + hidden + "@" + closed + "/?" + hidden, says("WebSocket handshake")},
		{"no WebSocket", Dialer{}, "ws://" + web(http.NotFoundHandler()) + "/?" + hidden, says("404")},
		{"redirect", Dialer{}, "ws://" + redirect + "/?" + hidden, says("302")},
		{"subprotocol", Dialer{}, "ws://" + other, is(ErrSubprotocol)},
		{"bad header", Dialer{Header: http.Header{"X": {hidden + "\n"}}}, "ws://" + target, says("header")},
		{"nobody listens", Dialer{}, "tcp://u:" + hidden + "@127.0.0.1:1", has[*net.OpError]},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			start := time.Now()
			nc, err := tc.d.Dial(t.Context(), mustParse(t, tc.raw))
			if err == nil {
				_ = nc.Close()
				t.Fatal("connected")
			}
			if _, ok := errors.AsType[*DialError](err); !ok || !tc.want(err) {
				t.Errorf("got %T %v", err, err)
			}
			if strings.Contains(err.Error(), hidden) {
				t.Errorf("a secret in %v", err)
			}
			if took := time.Since(start); took > patience {
				t.Errorf("took %v", took)
			}
		})
	}
}

func has[E error](err error) bool    { _, ok := errors.AsType[E](err); return ok }
func is(want error) func(error) bool { return func(err error) bool { return errors.Is(err, want) } }
func says(text string) func(error) bool {
	return func(err error) bool { return strings.Contains(err.Error(), text) }
}

func TestDialContextEnds(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	silent := listen(t, nil, func(nc net.Conn) {
		cancel()
		_, _ = io.Copy(io.Discard, nc)
	})
	for _, scheme := range []string{"tls", "ws"} {
		_, err := new(Dialer).Dial(ctx, mustParse(t, scheme+"://"+silent))
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v", scheme, err)
		}
	}
}

func TestT29_DialProxyHeaderAndPath(t *testing.T) {
	t.Parallel()
	asked := make(chan *url.URL, 1)
	header := make(chan http.Header, 1)
	ws := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked <- r.URL
		header <- r.Header
		webSocket(echo, subprotocol).ServeHTTP(w, r)
	}))
	defer ws.Close()
	proxy := proxy.New(t, nil)
	proxy.To = ws.Listener.Addr().String()
	d := Dialer{Header: http.Header{"Authorization": {"Bearer token"}}, Proxy: mustProxy(t, proxy.URL("http", ""))}
	for _, tc := range []struct{ path, raw, want string }{
		{"", "ws://broker.invalid", "/mqtt"},
		{"", "ws://broker.invalid/?q=1", "/?q=1"},
		{"/ws", "ws://broker.invalid?q=1", "/ws?q=1"},
		{"/ws", "ws://broker.invalid/a%2Fb", "/a%2Fb"},
	} {
		d.Path = tc.path
		nc, err := d.Dial(t.Context(), mustParse(t, tc.raw))
		if err != nil {
			t.Fatal(err)
		}
		if got := (<-asked).String(); got != tc.want {
			t.Errorf("%s asks for %s, want %s", tc.raw, got, tc.want)
		}
		if h := <-header; h.Get("Authorization") != "Bearer token" || h.Get("Sec-WebSocket-Protocol") != "mqtt" {
			t.Errorf("header %v", h)
		}
		if got := <-proxy.Asked; got != "broker.invalid:80" {
			t.Errorf("proxy was asked for %v", got)
		}
		_ = nc.Close()
	}
}
