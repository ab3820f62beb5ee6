package faultmatrix_test

import (
	"crypto/tls"
	"crypto/x509"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	v1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/v1"
	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
)

// Row 34: a broker with a certificate for another name, an expired one, one of another
// authority, or one that only supports TLS 1.1, is refused, and the error names the cause. A
// valid one is accepted.
func TestFault_34_TLS(t *testing.T) {
	t.Parallel()
	eachVersion(t, func(h *harness) {
		ca, foreign := mqtttest.NewCA(h), mqtttest.NewCA(h)
		day := time.Now().Add(24 * time.Hour)
		otherName, _, _ := ca.Issue("other", x509.ExtKeyUsageServerAuth, day, "example.org")
		expired, _, _ := ca.Issue("expired", x509.ExtKeyUsageServerAuth, time.Now().Add(-time.Hour), "127.0.0.1")
		wrongUse, _, _ := ca.Issue("client-only", x509.ExtKeyUsageClientAuth, day, "127.0.0.1")
		old := ca.ServerConfig(false)
		old.MinVersion, old.MaxVersion = tls.VersionTLS10, tls.VersionTLS11
		shows := func(c tls.Certificate) *tls.Config {
			return &tls.Config{Certificates: []tls.Certificate{c}, MinVersion: tls.VersionTLS12}
		}
		files := h.clientFiles(ca.ClientCertFile, ca.ClientKeyFile, ca.CertFile)
		for _, tc := range []struct {
			name   string
			server *tls.Config
			cause  string
		}{
			{"another name", shows(otherName), "doesn't contain any IP SANs"},
			{"expired", shows(expired), "expired"},
			{"another authority", foreign.ServerConfig(false), "unknown authority"},
			{"another use", shows(wrongUse), "incompatible key usage"},
			{"TLS 1.1 only", old, "protocol version"},
		} {
			fake := mqtttest.ScriptedBroker(h, func(c net.Conn) { _ = tls.Server(c, tc.server).Handshake() })
			url := strings.Replace(fake.URL(), "mqtt://", "mqtts://", 1)
			fast := h.newSubscriber(url, "-fast", mqttbroker.WithConnectionConfig(files), mqttbroker.WithFailFast(true))
			fast.record(h.name + "/data")
			err := fast.start()
			if h.wantReason(err, event.ReasonNetwork); !strings.Contains(err.Error(), tc.cause) {
				h.Errorf("%s: %v, want it to say %q", tc.name, err, tc.cause)
			}
			p := h.newPublisher(url, "-slow", mqttbroker.WithConnectionConfig(files))
			if err := p.connect(); err != nil { // tried again in the background
				h.Errorf("%s: %v", tc.name, err)
			}
			h.eventually(func() error { return atLeast("attempts", len(p.refused()), 2) })
			if err := p.health().LastError; err == nil || !strings.Contains(err.Error(), tc.cause) {
				h.Errorf("%s: health says %v, want %q", tc.name, err, tc.cause)
			}
		}
		b := h.mosquitto(mqtttest.WithTLS(ca))
		h.subscriber(b.TLSURL(), "-sub", h.name+"/data", mqttbroker.WithConnectionConfig(files))
		h.publisher(b.TLSURL(), "-pub", mqttbroker.WithConnectionConfig(files)).must(h.name+"/data", ids(0, 50)...)
		h.settled()
	})
}

// clientFiles copies a client's certificate and key to a path that is a secret, and returns
// the configuration that names them.
func (h *harness) clientFiles(cert, key, ca string) *v1.Connection {
	h.Helper()
	dir := filepath.Join(h.TempDir(), planted.key)
	if err := os.Mkdir(dir, 0o700); err != nil {
		h.Fatal(err)
	}
	c := &v1.Connection{Tls: &v1.TLS{CaFile: ca, CertFile: filepath.Join(dir, "client.crt"), KeyFile: filepath.Join(dir, "client.key")}}
	h.rotate(c, cert, key)
	return c
}

// rotate replaces the files.
func (h *harness) rotate(c *v1.Connection, cert, key string) {
	h.Helper()
	for to, from := range map[string]string{c.GetTls().GetCertFile(): cert, c.GetTls().GetKeyFile(): key} {
		text, err := os.ReadFile(from)
		if err == nil {
			err = os.WriteFile(to+".new", text, 0o600)
		}
		if err == nil {
			err = os.Rename(to+".new", to)
		}
		if err != nil {
			h.Fatal(err)
		}
	}
}
