package mqtt_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tx7do/kratos-transport/broker"

	v1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/v1"
	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
	testbroker "github.com/kratos-mqtt/kratos-mqtt/mqtttest/broker"
)

// rotated has the TLS files of a client, which a test replaces.
type rotated struct {
	t     *testing.T
	files *v1.TLS
}

func newRotated(t *testing.T, ca *mqtttest.CA) *rotated {
	t.Helper()
	dir := t.TempDir()
	r := &rotated{t, &v1.TLS{CaFile: filepath.Join(dir, "ca.crt"), CertFile: filepath.Join(dir, "client.crt"), KeyFile: filepath.Join(dir, "client.key")}}
	r.put(ca.CertFile, ca.ClientCertFile, ca.ClientKeyFile)
	return r
}

// put replaces the files one after another, like the tools that renew certificates.
func (r *rotated) put(ca, cert, key string) {
	r.t.Helper()
	for to, from := range map[string]string{r.files.CaFile: ca, r.files.CertFile: cert, r.files.KeyFile: key} {
		text, err := os.ReadFile(from)
		err = errors.Join(err, os.WriteFile(to+".new", text, 0o600), os.Rename(to+".new", to))
		if err != nil {
			r.t.Fatal(err)
		}
	}
}

// shownNames records the names of the client certificates that a broker has seen.
type shownNames struct {
	mu  sync.Mutex
	all []string
}

func (n *shownNames) count(name string) (count int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, seen := range n.all {
		if seen == name {
			count++
		}
	}
	return count
}

// The client certificate is replaced while messages flow. Both connections are renewed
// with the new one, without a cut, and no message is lost. Invalid files are reported
// once, and the old ones stay in use. Invalid are a key of another certificate, a
// certificate of another authority, an expired one, and a wrong authority.
func TestCertificatesRotateUnderLoad(t *testing.T) {
	t.Parallel()
	for _, product := range []string{"in process", "Mosquitto"} {
		for _, version := range []string{"3.1.1", "5"} {
			t.Run(product+", MQTT "+version, func(t *testing.T) {
				t.Parallel()
				ca, foreign := mqtttest.NewCA(t), mqtttest.NewCA(t)
				url, seen := tlsBroker(t, product, ca)
				rotate(t, url, version, seen, ca, foreign)
			})
		}
	}
}

// tlsBroker returns a broker that requires client certificates, and a function that
// counts the accepted connections for a name.
func tlsBroker(t *testing.T, product string, ca *mqtttest.CA) (url string, seen func(name string) int) {
	t.Helper()
	if product == "Mosquitto" {
		b := mqtttest.Mosquitto(t, mqtttest.WithClientCertificates(ca), mqtttest.WithConfig("use_identity_as_username true"))
		return b.TLSURL(), func(name string) int { return strings.Count(b.Log(), "u'"+name+"'") }
	}
	n, config := new(shownNames), ca.ServerConfig(true)
	config.VerifyConnection = func(s tls.ConnectionState) error {
		n.mu.Lock()
		defer n.mu.Unlock()
		n.all = append(n.all, s.PeerCertificates[0].Subject.CommonName)
		return nil
	}
	return mqtttest.InProcess(t, testbroker.WithTLS("127.0.0.1:0", config)).Broker.TLSURL(), n.count
}

func rotate(t *testing.T, url, version string, seen func(string) int, ca, foreign *mqtttest.CA) {
	t.Helper()
	files := newRotated(t, ca)
	b, out := logged(t, url, mqttbroker.WithConnectionConfig(&v1.Connection{ClientId: "rotates", Protocol: version, Tls: files.files}))
	var mu sync.Mutex
	received := make(map[int]bool)
	_, err := b.Subscribe("rotation/+", func(_ context.Context, e broker.Event) error {
		var n int
		if err := json.Unmarshal(e.Message().Body.([]byte), &n); err != nil {
			return err
		}
		mu.Lock()
		defer mu.Unlock()
		received[n] = true
		return nil
	}, nil, broker.WithSubscribeContext(t.Context()))
	if err == nil {
		err = b.Connect()
	}
	if err == nil {
		err = b.WaitReady(within(t, patience))
	}
	if err != nil {
		t.Fatal(err)
	}
	var sent atomic.Int64
	stop := make(chan struct{})
	var load sync.WaitGroup
	load.Go(func() {
		for n := 0; ; n++ {
			select {
			case <-stop:
				return
			default:
			}
			if err := b.Publish(t.Context(), fmt.Sprintf("rotation/%d", n%8), broker.NewMessage(n)); err != nil {
				t.Errorf("message %d: %v", n, err)
				return
			}
			sent.Add(1)
		}
	})
	good := func(i int) {
		name := fmt.Sprintf("client-%d", i)
		_, cert, key := ca.Issue(name, x509.ExtKeyUsageClientAuth, time.Now().Add(time.Hour))
		files.put(ca.CertFile, cert, key)
		advances(t, 2, func() int { return min(2, seen(name)) }, func() any { return out })
		before := sent.Load()
		advances(t, 50, func() int { return int(min(50, sent.Load()-before)) }, func() any { return out })
	}
	good(1)
	_, other, otherKey := foreign.Issue("foreign", x509.ExtKeyUsageClientAuth, time.Now().Add(time.Hour))
	_, past, pastKey := ca.Issue("past", x509.ExtKeyUsageClientAuth, time.Now().Add(-time.Hour))
	for _, bad := range []struct{ ca, cert, key, says string }{
		{ca.CertFile, ca.ClientCertFile, otherKey, "does not match"},
		{ca.CertFile, other, otherKey, string(event.TLSCertificateRefused)},
		{ca.CertFile, past, pastKey, "has expired at"},
		{foreign.CertFile, ca.ClientCertFile, ca.ClientKeyFile, string(event.TLSUnknownAuthority)},
	} {
		files.put(bad.ca, bad.cert, bad.key)
		refused := func() int {
			err := b.Health().CertificateError
			if err != nil && (strings.Contains(err.Error(), bad.says) || string(event.TLSProblemOf(err)) == bad.says) {
				return 1
			}
			return 0
		}
		advances(t, 1, refused, func() any { return []any{bad.says, b.Health().CertificateError} })
	}
	good(2)
	close(stop)
	load.Wait()
	all := int(sent.Load())
	advances(t, all, func() int {
		mu.Lock()
		defer mu.Unlock()
		return len(received)
	}, func() any { return b.Health() })
	if h := b.Health(); h.CertificateError != nil || h.LastLoss != nil || h.SessionsLost != 0 {
		t.Errorf("error %v, loss %v, %d sessions lost", h.CertificateError, h.LastLoss, h.SessionsLost)
	}
	if n := out.count("new TLS files are not used"); n != 4 {
		t.Errorf("%d lines for 4 bad sets of files", n)
	}
	if n := out.count("new TLS files are used"); n != 2 {
		t.Errorf("%d lines for 2 good sets of files", n)
	}
	t.Logf("%d messages", all)
}
