package broker

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strings"
)

// ErrNotLoopback is wrapped by the error of [Listen] for an address that other machines can
// reach, unless [AllowNonLoopback] is set.
var ErrNotLoopback = errors.New("not a loopback address")

// listener is one address on which the broker listens. The mutex of [listeners]
// guards what changes.
type listener struct {
	node    int
	scheme  string // mqtt, mqtts, ws or wss
	address string
	tls     *tls.Config
	was     bool         // the address has the port that it will keep
	down    bool         // its node has ended
	open    net.Listener // nil while it is closed
}

// validate checks the address and replaces it by the resolved one, so that exactly the checked
// address is opened.
func (l *listener) validate(anywhere bool) error {
	address, err := net.ResolveTCPAddr("tcp", l.address)
	switch {
	case err != nil:
		return fmt.Errorf("address %q: %w", l.address, err)
	case !anywhere && !address.IP.IsLoopback():
		return fmt.Errorf("address %q: %w", l.address, ErrNotLoopback)
	case l.scheme == "mqtts" && l.tls == nil:
		return fmt.Errorf("address %q: TLS listener without TLS configuration", l.address)
	}
	l.address = address.String()
	return nil
}

// url returns the address for clients.
func (l *listener) url() string {
	if strings.HasPrefix(l.scheme, "ws") {
		return l.scheme + "://" + l.address + "/mqtt"
	}
	return l.scheme + "://" + l.address
}

// handshake adds TLS and WebSocket to a connection according to the scheme. The deadline of
// the connection limits it.
func (l *listener) handshake(c net.Conn) (net.Conn, error) {
	if l.tls != nil {
		secure := tls.Server(c, l.tls)
		if err := secure.HandshakeContext(context.Background()); err != nil {
			return nil, err
		}
		c = secure
	}
	if strings.HasPrefix(l.scheme, "ws") {
		return upgrade(c)
	}
	return c, nil
}
