package link

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/coder/websocket"
)

const (
	defaultPath = "/mqtt"
	subprotocol = "mqtt"
	// closeWait limits the WebSocket closing handshake.
	closeWait = 250 * time.Millisecond
)

// ErrSubprotocol means that the server did not select the subprotocol "mqtt"
// [MQTT-6.0.0-3].
var ErrSubprotocol = errors.New(`WebSocket server did not accept the subprotocol "mqtt"`)

// dialWebSocket dials the connection itself, so that neither a proxy of the
// environment nor a redirect changes its destination.
func (d *Dialer) dialWebSocket(ctx context.Context, a Address) (net.Conn, error) {
	dial := d.dialTCP
	if a.Secure() {
		dial = d.dialTLS
	}
	raw, err := dial(ctx, a)
	if err != nil {
		return nil, err
	}
	wire := &heldConn{Conn: raw}
	take := func(context.Context, string, string) (net.Conn, error) { return wire, nil }
	transport := &http.Transport{DialContext: take, DialTLSContext: take}
	defer transport.CloseIdleConnections()
	stop := context.AfterFunc(ctx, func() { _ = raw.Close() })
	//nolint:bodyclose // of the answer to an upgrade: the connection owns it
	ws, _, err := websocket.Dial(ctx, d.webSocketURL(a), &websocket.DialOptions{
		HTTPClient: &http.Client{
			Transport:     transport,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		HTTPHeader:   d.Header.Clone(),
		Host:         d.host(a),
		Subprotocols: []string{subprotocol},
	})
	if err == nil && ws.Subprotocol() != subprotocol {
		err = ErrSubprotocol
	}
	if !stop() {
		err = ctx.Err() // the end of ctx closed the socket, whatever error the handshake returned
	}
	if err != nil {
		_ = raw.Close()
		// The text of the *url.Error would contain the URL with its query.
		if named, ok := errors.AsType[*url.Error](err); ok {
			err = named.Err
		}
		return nil, fmt.Errorf("WebSocket handshake: %w", err)
	}
	ws.SetReadLimit(-1) // no limit here: messages are read as a stream, and the Conn limits frames
	return &wsConn{heldConn: wire, ws: ws}, nil
}

func (d *Dialer) webSocketURL(a Address) string {
	u := a.URL()
	u.RawQuery = string(a.Query)
	if a.Path == "" {
		u.Path = defaultPath
		if d.Path != "" {
			u.Path = d.Path
		}
	}
	return u.String()
}

// host returns the Host of the upgrade request: that of Header, or else that of
// the address. The default port of the scheme is omitted, as browsers do (RFC
// 9110, section 4.2.3), because signatures and strict proxies compare it.
func (d *Dialer) host(a Address) string {
	if host := d.Header.Get("Host"); host != "" {
		return host
	}
	if a.Port == defaultPort(a.Scheme) {
		return strings.TrimSuffix(a.HostPort(), ":"+strconv.Itoa(int(a.Port)))
	}
	return a.HostPort()
}

// wsConn reads and writes MQTT as a byte stream in binary WebSocket messages,
// one message per Write [MQTT-6.0.0-1]. Deadlines and addresses are those of
// the socket. One goroutine may read while another writes.
type wsConn struct {
	*heldConn
	ws      *websocket.Conn
	message io.Reader // unread rest of the current message
}

func (c *wsConn) Read(p []byte) (int, error) {
	for {
		if c.message == nil {
			kind, r, err := c.ws.Reader(context.Background())
			if err != nil {
				return 0, streamError(err)
			}
			if kind != websocket.MessageBinary {
				return 0, fmt.Errorf("%w: a WebSocket text message", ErrUnexpected)
			}
			c.message = r
		}
		n, err := c.message.Read(p)
		if err == io.EOF {
			c.message, err = nil, nil
		}
		if n > 0 || err != nil {
			return n, streamError(err)
		}
	}
}

// streamError turns a close of the peer into the end of the stream, like FIN of
// a socket: brokers close with various status codes when they refuse a packet,
// and that is not a network error. The error keeps the text of an abnormal
// status.
func streamError(err error) error {
	switch websocket.CloseStatus(err) {
	case -1: // not a close
		return err
	case websocket.StatusNormalClosure, websocket.StatusGoingAway:
		return io.EOF
	}
	return fmt.Errorf("%w: %w", io.EOF, err)
}

func (c *wsConn) Write(p []byte) (int, error) {
	c.hold()
	err := c.ws.Write(context.Background(), websocket.MessageBinary, p)
	if sent := c.release(); err == nil {
		err = sent
	}
	if err != nil {
		return 0, err
	}
	return len(p), nil
}

// Close performs the closing handshake within closeWait and closes the socket.
func (c *wsConn) Close() error {
	_ = c.Conn.SetDeadline(time.Now().Add(closeWait))
	_ = c.ws.Close(websocket.StatusNormalClosure, "")
	_ = closeNow(c.Conn) // usually closed already, unless the WebSocket library is waiting for the peer
	return nil
}

// abort closes the socket at once.
func (c *wsConn) abort() error {
	err := closeNow(c.Conn)
	_ = c.ws.CloseNow()
	return err
}

// heldConn collects the many small writes of the WebSocket library for one
// message into one write of the socket.
type heldConn struct {
	net.Conn
	mu   sync.Mutex
	held bool
	buf  []byte
}

func (c *heldConn) hold() {
	c.mu.Lock()
	c.held = true
	c.mu.Unlock()
}

func (c *heldConn) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.held {
		return c.Conn.Write(p)
	}
	c.buf = append(c.buf, p...)
	return len(p), nil
}

func (c *heldConn) release() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.held = false
	if len(c.buf) == 0 {
		return nil
	}
	_, err := c.Conn.Write(c.buf)
	c.buf = recycle(c.buf)
	return err
}

// recycle empties a buffer for its next use, or releases it if it is far too
// large.
func recycle(buf []byte) []byte {
	if cap(buf) > keepBuffer && len(buf) < cap(buf)/4 {
		return nil
	}
	return buf[:0]
}
