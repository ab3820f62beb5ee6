package doctor

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"net/http"
	"time"

	v1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/v1"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/link"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/wire"
)

// target is the broker that is measured, with what is needed to connect to it.
type target struct {
	address            link.Address
	dialer             link.Dialer
	tls                *tls.Config
	username, password string
	wait               time.Duration // for one answer of the broker
	limit              int           // size of a packet that is read, in bytes
	messages           int           // number of messages that a connection holds
}

// newTarget reads the settings of a connection. Only its first address is used.
func newTarget(c *v1.Connection, wait time.Duration, limit int) (*target, error) {
	addresses, err := link.ParseAddresses(c.GetAddresses())
	if err != nil {
		return nil, err
	}
	t := &target{address: addresses[0], wait: wait, limit: limit}
	t.username, t.password = t.address.Username, string(t.address.Password)
	if c.GetUsername() != "" || c.GetPassword() != "" {
		t.username, t.password = c.GetUsername(), c.GetPassword()
	}
	if path := c.GetPasswordFile(); path != "" {
		password, err := link.ReadPassword(path)
		if err != nil {
			return nil, fmt.Errorf("password file: %w", err)
		}
		t.password = string(password)
	}
	files := c.GetTls()
	t.tls, err = link.LoadTLS(files.GetCaFile(), files.GetCertFile(), files.GetKeyFile(), files.GetServerName(), files.GetInsecureSkipVerify())
	if err != nil {
		return nil, err
	}
	t.tls.NextProtos = files.GetAlpn()
	t.dialer = link.Dialer{TLS: func() (*tls.Config, error) { return t.tls, nil }, Timeout: c.GetConnectTimeout().AsDuration()}
	if t.dialer.Proxy, err = link.ParseProxy(c.GetProxy()); err != nil {
		return nil, err
	}
	if headers := c.GetWebsocketHeaders(); len(headers) > 0 {
		t.dialer.Header = make(http.Header, len(headers))
		for name, value := range headers {
			t.dialer.Header.Set(name, value)
		}
	}
	return t, nil
}

// login is a CONNECT without its credentials, which are those of the target.
type login struct {
	version        wire.Version
	clientID       string
	keep           bool   // the session, after the connection
	clean          bool   // ends a session that is there
	receiveMaximum uint16 // 0 leaves it out
	aliasMaximum   uint16
}

// connect connects to the broker. A refusal is a *refusedError.
func (t *target) connect(ctx context.Context, l login) (*conn, error) {
	nc, err := t.dialer.Dial(ctx, t.address)
	if err != nil {
		return nil, err
	}
	c := &conn{
		nc: nc, in: bufio.NewReaderSize(nc, 64<<10), version: l.version, wait: t.wait, limit: t.limit, messages: t.messages,
		outcomes: make(map[uint16]byte), answers: make(map[uint16]byte), aliases: make(map[uint16]string),
	}
	c.stop = context.AfterFunc(ctx, func() { _ = nc.Close() })
	if err := c.send(connectPacket(l, t.username, t.password)); err != nil {
		c.abort()
		return nil, err
	}
	if err := c.until(t.wait, func() bool { return c.welcomed }); err != nil {
		c.abort()
		return nil, err
	}
	if code := c.welcome.Reason; code != 0 {
		c.abort()
		return nil, &refusedError{version: l.version, code: code}
	}
	return c, nil
}
