package faultmatrix_test

import (
	"context"
	"crypto/x509"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
)

const rotations, perRotation = 4, 100

// Row 35: the client's certificate is replaced while messages flow. The next
// connection shows the new one, as the broker sees it, and nothing is lost.
func TestFault_35_CertificateRotated(t *testing.T) {
	t.Parallel()
	eachVersion(t, func(h *harness) {
		ca := mqtttest.NewCA(h)
		b := h.mosquitto(mqtttest.WithClientCertificates(ca), mqtttest.WithConfig("use_identity_as_username true"))
		proxy := mqtttest.NewProxy(h, b.TLSURL())
		files := h.clientFiles(ca.ClientCertFile, ca.ClientKeyFile, ca.CertFile)
		s := h.subscriber(proxy.URL(), "-sub", h.name+"/data/+", mqttbroker.WithConnectionConfig(files))
		p := h.publisher(proxy.URL(), "-pub", mqttbroker.WithConnectionConfig(files))
		l := p.load(nil)
		for i := range rotations {
			name := fmt.Sprintf("client-%d", i)
			_, cert, key := ca.Issue(name, x509.ExtKeyUsageClientAuth, time.Now().Add(time.Hour))
			l.sendAll(h.name+"/data", i*perRotation, perRotation)
			h.rotate(files, cert, key)
			proxy.Cut()
			h.eventually(func() error { return eachConnected([]*spy{s.spy, p.spy}, i+2) })
			h.eventually(func() error {
				return atLeast("connections as "+name, strings.Count(b.Log(), "u'"+name+"'"), 2)
			})
		}
		l.succeeded()
		h.settled()
	})
}

// Row 35: the password, for example a token, is replaced. The next connection uses the new
// one, and nothing is lost.
func TestFault_35_TokenRotated(t *testing.T) {
	t.Parallel()
	eachVersion(t, func(h *harness) {
		b := h.mosquitto()
		proxy := mqtttest.NewProxy(h, b.URL())
		var token atomic.Pointer[string]
		token.Store(&planted.password)
		ask := mqttbroker.WithCredentials(func(context.Context) (string, string, error) { return planted.user, *token.Load(), nil })
		s := h.subscriber(proxy.URL(), "-sub", h.name+"/data/+", ask)
		p := h.publisher(proxy.URL(), "-pub", ask)
		fixed := h.publisher(proxy.URL(), "-fixed")
		h.eventually(func() error { return eachConnected([]*spy{fixed.spy}, 1) })
		l := p.load(nil)
		for i := range rotations {
			next := fmt.Sprintf("%s-%d", planted.password, i)
			l.sendAll(h.name+"/data", i*perRotation, perRotation)
			token.Store(&next)
			h.setPassword(b, next)
			proxy.Cut()
			h.eventually(func() error { return eachConnected([]*spy{s.spy, p.spy}, i+2) })
		}
		h.eventually(func() error { return atLeast("refusals of the old token", notAuthorized(fixed.refused()), 1) })
		l.succeeded()
		h.settled()
	})
}
