package mqtt_test

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	v1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/v1"
	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
	testbroker "github.com/kratos-mqtt/kratos-mqtt/mqtttest/broker"
)

// tlsCase is a broker, a client, and the reason why their handshake fails.
type tlsCase struct {
	name    string
	server  func(c *tls.Config) // changes the configuration of the in-process broker
	files   *mqtttest.CA        // files of Mosquitto; nil if it has no setting for the case
	clients bool                // client certificates are required
	client  func(c *v1.TLS)     // changes the client's files
	problem event.TLSProblem
	says    string
}

func tlsCases(ca, foreign *mqtttest.CA) []tlsCase {
	shown := func(name string, usage x509.ExtKeyUsage, until time.Time, hosts ...string) (func(*tls.Config), *mqtttest.CA) {
		pair, cert, key := ca.Issue(name, usage, until, hosts...)
		files := *ca
		files.ServerCertFile, files.ServerKeyFile = cert, key
		return func(c *tls.Config) { c.Certificates = []tls.Certificate{pair} }, &files
	}
	day, past := time.Now().Add(24*time.Hour), time.Now().Add(-time.Hour)
	nameConfig, nameFiles := shown("other-name", x509.ExtKeyUsageServerAuth, day, "example.org")
	pastConfig, pastFiles := shown("past", x509.ExtKeyUsageServerAuth, past, "127.0.0.1")
	_, pastCert, pastKey := ca.Issue("past-client", x509.ExtKeyUsageClientAuth, past)
	same := func(*tls.Config) {}
	none := func(c *v1.TLS) { c.CertFile, c.KeyFile = "", "" }
	return []tlsCase{
		{name: "wrong name", server: nameConfig, files: nameFiles, problem: event.TLSWrongName, says: "certificate is for another name"},
		{name: "expired", server: pastConfig, files: pastFiles, problem: event.TLSExpired, says: "certificate has expired"},
		{
			name: "wrong authority", server: same, files: ca, client: func(c *v1.TLS) { c.CaFile = foreign.CertFile },
			problem: event.TLSUnknownAuthority, says: "certificate is of no trusted authority",
		},
		{
			name: "old protocol", server: func(c *tls.Config) { c.MinVersion, c.MaxVersion = tls.VersionTLS10, tls.VersionTLS11 },
			problem: event.TLSOldProtocol, says: "supports no TLS version from 1.2 on",
		},
		{name: "no client certificate", clients: true, server: same, files: ca, client: none, problem: event.TLSCertificateRequired, says: "requires a client certificate"},
		{
			name: "no client certificate, TLS 1.2", clients: true, server: func(c *tls.Config) { c.MaxVersion = tls.VersionTLS12 }, client: none,
			problem: event.TLSCertificateRequired, says: "requires a client certificate",
		},
		{
			name: "expired client certificate", clients: true, server: same, files: ca,
			client: func(c *v1.TLS) { c.CertFile, c.KeyFile = pastCert, pastKey }, problem: event.TLSCertificateRefused, says: "does not accept the client certificate",
		},
	}
}

// The error, the log, the hook and Health name the reason why TLS fails, on both
// versions of MQTT and for each kind of broker. It is logged once, however often it
// occurs.
func TestTLSProblems(t *testing.T) {
	t.Parallel()
	ca, foreign := mqtttest.NewCA(t), mqtttest.NewCA(t)
	for _, tc := range tlsCases(ca, foreign) {
		for _, broker := range []string{"in process", "Mosquitto"} {
			if broker == "Mosquitto" && tc.files == nil {
				continue
			}
			t.Run(tc.name+", "+broker, func(t *testing.T) {
				t.Parallel()
				var url string
				if broker == "in process" {
					config := ca.ServerConfig(tc.clients)
					tc.server(config)
					url = mqtttest.InProcess(t, testbroker.WithTLS("127.0.0.1:0", config)).Broker.TLSURL()
				} else {
					with := mqtttest.WithTLS
					if tc.clients {
						with = mqtttest.WithClientCertificates
					}
					url = mqtttest.Mosquitto(t, with(tc.files)).TLSURL()
				}
				for _, version := range []string{"3.1.1", "5", "auto"} {
					tc.run(t, url, version, ca)
				}
			})
		}
	}
}

func (tc *tlsCase) run(t *testing.T, url, version string, ca *mqtttest.CA) {
	t.Helper()
	files := &v1.TLS{CaFile: ca.CertFile, CertFile: ca.ClientCertFile, KeyFile: ca.ClientKeyFile}
	if tc.client != nil {
		tc.client(files)
	}
	named := func(where string, err error) {
		if p := event.TLSProblemOf(err); p != tc.problem || !strings.Contains(fmt.Sprint(err), tc.says) {
			t.Errorf("MQTT %s, %s: %v (%q), want it to say %q", version, where, err, p, tc.says)
		}
	}
	var hook attempts
	b, out := logged(t, url, mqttbroker.WithConnectionConfig(&v1.Connection{Protocol: version, Tls: files}), mqttbroker.WithHooks(&hook))
	if err := b.Connect(); err != nil {
		t.Fatal(err) // the client retries in the background
	}
	advances(t, 3, func() int { return min(3, hook.count()) }, func() any { return out })
	named("Health", b.Health().LastError)
	for _, err := range hook.all() {
		named("hook", err)
	}
	warned := 0
	for line := range strings.Lines(out.String()) {
		if strings.HasPrefix(line, "WARN") && strings.Contains(line, tc.says) {
			warned++
		}
	}
	if warned != 1 {
		t.Errorf("MQTT %s: %d warnings say %q: %s", version, warned, tc.says, out)
	}
	fast, _ := logged(t, url, mqttbroker.WithConnectionConfig(&v1.Connection{Protocol: version, Tls: files}), mqttbroker.WithFailFast(true))
	err := fast.Connect()
	named("error", err)
	if e := (*event.TLSError)(nil); !errors.As(err, &e) || e.Cause == nil {
		t.Errorf("%v has no cause", err)
	}
}

// attempts is a hook that records the failed attempts to connect.
type attempts struct {
	mu   sync.Mutex
	errs []error
}

func (a *attempts) OnConnectAttempt(i event.ConnectAttemptInfo) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if i.Err != nil {
		a.errs = append(a.errs, i.Err)
	}
}

func (a *attempts) all() []error {
	a.mu.Lock()
	defer a.mu.Unlock()
	return append([]error(nil), a.errs...)
}

func (a *attempts) count() int { return len(a.all()) }
