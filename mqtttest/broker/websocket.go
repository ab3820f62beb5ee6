package broker

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"strings"

	"github.com/coder/websocket"
)

// maxRequest bounds the request of a WebSocket handshake, in bytes.
const maxRequest = 64 << 10

// upgrade answers the WebSocket handshake on a fresh connection and returns
// the stream inside [MQTT-6.0.0-1]. Requests from pages of another origin are
// refused, and on loopback those from any page whose host is not this machine: its name may have
// been pointed here to get around the first rule.
func upgrade(c net.Conn) (net.Conn, error) {
	limited := &io.LimitedReader{R: c, N: maxRequest}
	w := &upgradeWriter{conn: c, in: bufio.NewReader(limited), header: make(http.Header)}
	r, err := http.ReadRequest(w.in)
	if err != nil {
		return nil, err
	}
	limited.N = math.MaxInt64
	if r.Header.Get("Origin") != "" && isLoopback(c.LocalAddr().String()) && !isLoopback(r.Host) {
		w.WriteHeader(http.StatusForbidden)
		return nil, fmt.Errorf("a page asks for the host %q, want localhost or a loopback address", r.Host)
	}
	ws, err := websocket.Accept(w, r, &websocket.AcceptOptions{Subprotocols: []string{"mqtt"}})
	if err != nil {
		return nil, err
	}
	if ws.Subprotocol() != "mqtt" { // [MQTT-6.0.0-3]
		return nil, errors.Join(errors.New("no mqtt subprotocol"), ws.CloseNow())
	}
	ws.SetReadLimit(-1) // frames cuts the stream into packets and bounds those
	return &webSocket{websocket.NetConn(context.Background(), ws, websocket.MessageBinary), ws}, nil
}

// isLoopback reports whether an address, with or without a port, names this machine.
func isLoopback(address string) bool {
	host := address
	if h, _, err := net.SplitHostPort(address); err == nil {
		host = h
	}
	ip := net.ParseIP(strings.Trim(host, "[]"))
	return ip != nil && ip.IsLoopback() || strings.EqualFold(host, "localhost")
}

// webSocket is the stream inside a WebSocket.
type webSocket struct {
	net.Conn

	ws *websocket.Conn
}

// CloseWrite ends the stream. It waits for the answer of the client, provided that another
// goroutine reads.
func (w *webSocket) CloseWrite() error { return w.ws.Close(websocket.StatusNormalClosure, "") }

// upgradeWriter is the http.ResponseWriter of one handshake. An http.Server is not used,
// because it would own the goroutine of the connection.
type upgradeWriter struct {
	conn   net.Conn
	in     *bufio.Reader
	header http.Header
}

func (w *upgradeWriter) Header() http.Header         { return w.header }
func (w *upgradeWriter) Write(p []byte) (int, error) { return w.conn.Write(p) }

func (w *upgradeWriter) WriteHeader(status int) {
	if status != http.StatusSwitchingProtocols {
		w.header.Set("Connection", "close")
	}
	out := bufio.NewWriter(w.conn)
	fmt.Fprintf(out, "HTTP/1.1 %d %s\r\n", status, http.StatusText(status))
	_ = w.header.Write(out)
	_, _ = out.WriteString("\r\n")
	_ = out.Flush() // a failure shows in the next read
}

func (w *upgradeWriter) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return w.conn, bufio.NewReadWriter(w.in, bufio.NewWriter(w.conn)), nil
}
