package link

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/kratos-mqtt/kratos-mqtt/internal/test/proxy"
)

// dialWS connects to a WebSocket server that runs serve.
func dialWS(t *testing.T, serve func(context.Context, *websocket.Conn)) net.Conn {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ws, err := websocket.Accept(w, r, &websocket.AcceptOptions{Subprotocols: []string{subprotocol}})
		if err != nil {
			return
		}
		defer ws.CloseNow()
		ws.SetReadLimit(-1)
		serve(r.Context(), ws)
	}))
	t.Cleanup(server.Close)
	nc, err := new(Dialer).Dial(t.Context(), mustParse(t, "ws://"+server.Listener.Addr().String()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = nc.Close() })
	return nc
}

func TestWebSocketStream(t *testing.T) {
	t.Parallel()
	nc := dialWS(t, func(ctx context.Context, ws *websocket.Conn) {
		for _, part := range []string{"", "ab", "", "c", "defg"} {
			_ = ws.Write(ctx, websocket.MessageBinary, []byte(part))
		}
		_ = ws.Close(websocket.StatusNormalClosure, "")
	})
	got, err := io.ReadAll(nc)
	if string(got) != "abcdefg" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestWebSocketRefusesText(t *testing.T) {
	t.Parallel()
	nc := dialWS(t, func(ctx context.Context, ws *websocket.Conn) {
		_ = ws.Write(ctx, websocket.MessageText, []byte("x"))
		_, _, _ = ws.Read(ctx)
	})
	if _, err := nc.Read(make([]byte, 9)); !errors.Is(err, ErrUnexpected) {
		t.Errorf("got %v", err)
	}
}

// One Write is one message and one write of the socket, whatever its size.
func TestWebSocketWritesOnce(t *testing.T) {
	t.Parallel()
	sizes := make(chan int, 1)
	nc := dialWS(t, func(ctx context.Context, ws *websocket.Conn) {
		for {
			_, b, err := ws.Read(ctx)
			if err != nil {
				return
			}
			sizes <- len(b)
		}
	})
	held := nc.(*wsConn).heldConn
	counter := &countingConn{Conn: held.Conn}
	held.Conn = counter
	for i, size := range []int{1, 5000, 100_000} {
		if n, err := nc.Write(make([]byte, size)); n != size || err != nil {
			t.Fatal(n, err)
		}
		if got := <-sizes; got != size {
			t.Errorf("message of %d bytes, want %d", got, size)
		}
		if counter.writes != i+1 {
			t.Errorf("%d writes after %d messages", counter.writes, i+1)
		}
	}
}

type countingConn struct {
	net.Conn
	writes int
}

func (c *countingConn) Write(p []byte) (int, error) {
	c.writes++
	return c.Conn.Write(p)
}

// A server that never answers the closing handshake does not delay Close.
func TestWebSocketCloseIsBounded(t *testing.T) {
	t.Parallel()
	end := make(chan struct{})
	defer close(end)
	nc := dialWS(t, func(context.Context, *websocket.Conn) { <-end })
	reading := make(chan error, 1)
	go func() { _, err := nc.Read(make([]byte, 1)); reading <- err }()
	start := time.Now()
	_ = nc.Close()
	if took := time.Since(start); took > closeTimeout+slack {
		t.Errorf("Close took %v", took)
	}
	if err := <-reading; err == nil {
		t.Error("Read goes on")
	}
}

// A ping of the server is answered on a connection that has been idle for
// longer than WriteTimeout.
func TestPongAfterIdle(t *testing.T) {
	t.Parallel()
	const timeout = 50 * time.Millisecond
	ponged := make(chan error, 1)
	nc := dialWS(t, func(ctx context.Context, ws *websocket.Conn) {
		_, _, _ = ws.Read(ctx) // PINGREQ
		<-time.After(3 * timeout)
		ctx = ws.CloseRead(ctx)
		ponged <- ws.Ping(ctx)
	})
	c := New(nc, newRecorder(), Options{WriteTimeout: timeout})
	go func() { _, _ = c.Read(make([]byte, 1)) }()
	if _, err := c.Write(pingreq); err != nil {
		t.Fatal(err)
	}
	if err := <-ponged; err != nil {
		t.Error(err)
	}
	c.Abort(nil)
	<-c.Done()
}

// reports.md C3: the default port of the scheme is not in Host, which signed
// URLs and strict proxies compare.
func TestWebSocketHost(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	hosts := make(chan string, 1)
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		hosts <- r.Host
		webSocket(echo, subprotocol).ServeHTTP(w, r)
	})
	plain, secure := httptest.NewServer(handler), httptest.NewUnstartedServer(handler)
	t.Cleanup(plain.Close)
	secure.TLS = ca.serverConfig()
	secure.StartTLS()
	t.Cleanup(secure.Close)
	for _, tc := range []struct{ raw, header, want string }{
		{"ws://localhost/mqtt", "", "localhost"},
		{"ws://localhost:80/mqtt", "", "localhost"},
		{"ws://localhost:443/mqtt", "", "localhost:443"},
		{"wss://localhost/mqtt?X-Amz-Signature=1", "", "localhost"},
		{"wss://localhost:80/mqtt", "", "localhost:80"},
		{"ws://[::1]/mqtt", "", "[::1]"},
		{"ws://[::1]:81/mqtt", "", "[::1]:81"},
		{"wss://localhost/mqtt", "signed.example:8443", "signed.example:8443"},
	} {
		server := plain
		if strings.HasPrefix(tc.raw, "wss") {
			server = secure
		}
		proxy := proxy.New(t, nil)
		proxy.To = server.Listener.Addr().String()
		d := Dialer{TLS: ca.trust, Proxy: mustProxy(t, proxy.URL("http", ""))}
		if tc.header != "" {
			d.Header = http.Header{"Host": {tc.header}}
		}
		nc, err := d.Dial(t.Context(), mustParse(t, tc.raw))
		if err != nil {
			t.Errorf("%s: %v", tc.raw, err)
			continue
		}
		if got := <-hosts; got != tc.want {
			t.Errorf("%s, header %q: Host %q, want %q", tc.raw, tc.header, got, tc.want)
		}
		_ = nc.Close()
	}
}
