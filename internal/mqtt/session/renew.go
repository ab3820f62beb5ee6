package session

import (
	"context"
	"crypto/tls"
	"errors"
	"math/rand/v2"
	"net"
	"os"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/link"
)

// errRenewed ends a connection whose credentials or TLS settings have changed.
var errRenewed = errors.New("left to connect with new credentials")

// Renewed reports a connection that the client closed in order to open another one with
// new credentials or TLS settings. It is not a loss: a session that the broker keeps is
// resumed.
type Renewed struct {
	ClientID string
	Address  string
}

func (Renewed) event() {}

// renewed connects again after Renew, without the pauses of a failure.
func (v *supervisor) renewed(addr link.Address) bool {
	v.failures, v.hasty, v.outage = 0, 0, time.Now()
	v.s.subs.await(nil)
	err := &event.Error{Op: opConnect, Reason: event.ReasonNetwork, Cause: errRenewed}
	return v.pause(err, Renewed{v.s.cfg.ClientID, addr.String()}, rand.N(renewPause), false)
}

// renewPause is the longest pause before a renewed connection.
const renewPause = 100 * time.Millisecond

// alertPause is how long TryTLS waits for a broker to refuse a certificate: with TLS
// 1.3 the refusal arrives after the handshake.
const alertPause = 500 * time.Millisecond

// TryTLS performs TLS handshakes with the addresses of cfg until one succeeds,
// on connections that it closes at once. It returns nil if one succeeds or no
// address uses TLS, and otherwise the error of the last one; only an error with
// an [event.TLSProblem] is about config.
func TryTLS(ctx context.Context, cfg *Config, config *tls.Config) error {
	to := link.Dialer{
		Header: cfg.Header, Timeout: DefaultConnectTimeout, Proxy: cfg.Proxy,
		TLS: func() (*tls.Config, error) { return config.Clone(), nil },
	}
	shows := len(config.Certificates) > 0
	var err error
	for _, addr := range cfg.Addresses {
		if !addr.Secure() {
			continue
		}
		var nc net.Conn
		if nc, err = to.Dial(ctx, addr); err == nil {
			err = awaitAlert(nc)
			_ = nc.Close()
		}
		if err = tlsCause(err, shows); err == nil {
			return nil
		}
	}
	return err
}

// awaitAlert returns the alert of a broker that refuses the certificate of a client. A
// broker that accepts it sends nothing, because it waits for CONNECT.
func awaitAlert(nc net.Conn) error {
	if err := nc.SetReadDeadline(time.Now().Add(alertPause)); err != nil {
		return err
	}
	_, err := nc.Read(make([]byte, 1))
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return nil
	}
	return err
}
