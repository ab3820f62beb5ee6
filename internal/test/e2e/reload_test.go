package e2e

import (
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
)

// replace puts a new file in the place of a file, as tools that rotate secrets do.
func replace(t *testing.T, path, text string) {
	t.Helper()
	err := os.WriteFile(path+".new", []byte(text), 0o600)
	if err = errors.Join(err, os.Rename(path+".new", path)); err != nil {
		t.Fatal(err)
	}
}

func content(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// The certificate, the password and the settings of the running service are replaced while
// reports are posted. None is lost. A bad file changes nothing and is named in the log, and
// a setting that needs a restart is named with file, key and line.
func TestRotationAndReloadUnderLoad(t *testing.T) {
	ca := mqtttest.NewCA(t)
	b := mqtttest.Mosquitto(t, mqtttest.WithClientCertificates(ca), mqtttest.WithCredentials("ann", "first"))
	dir := t.TempDir()
	cert, key, password := filepath.Join(dir, "client.crt"), filepath.Join(dir, "client.key"), filepath.Join(dir, "password")
	replace(t, cert, content(t, ca.ClientCertFile))
	replace(t, key, content(t, ca.ClientKeyFile))
	replace(t, password, "first\n")
	config := changed(t, "config.yaml", "  connection:\n", fmt.Sprintf(
		"  connection:\n    username: ann\n    password_file: %q\n    tls: {ca_file: %q, cert_file: %q, key_file: %q}\n", password, ca.CertFile, cert, key))
	source, path := database(t)
	s := start(t, config, source, outbox(t), "KM_MQTT_BROKER="+b.TLSURL(), "KM_MQTT_PRESET=mosquitto")
	awaitReady(t, s)
	load := newLoad(t, s.base)
	stop := load.keepPosting(t, 4, time.Millisecond)
	logs := func(text string) {
		t.Helper()
		mqtttest.Eventually(t, startTimeout, func() error {
			if !contains(s.output.String(), text) {
				return fmt.Errorf("the log does not have %q", text)
			}
			return nil
		})
	}

	_, freshCert, freshKey := ca.Issue("fresh", x509.ExtKeyUsageClientAuth, time.Now().Add(time.Hour))
	replace(t, cert, content(t, freshCert)) // the key does not belong to it yet
	logs("new TLS files are not used, the old ones stay in use")
	replace(t, key, content(t, freshKey))
	logs("new TLS files are used from now on")

	replace(t, password, "second\n") // before the broker knows it
	logs("the broker refuses the new login, the old one stays in use")
	learn := func(password string) { // by a restart: 2.0.11 can crash at a SIGHUP under load
		b.SetPassword("ann", password)
		b.Stop()
		b.Start()
	}
	learn("second")
	learn("third") // and then after it
	replace(t, password, "third\n")
	logs("a new password is used from now on")

	text := content(t, config)
	settings := func(oldnew ...string) {
		t.Helper()
		now := strings.NewReplacer(oldnew...).Replace(text)
		if now == text {
			t.Fatalf("%q is not in the configuration", oldnew[0])
		}
		replace(t, config, now)
	}
	settings("concurrency: 16", "concurrency: many")
	logs("server.mqtt.concurrency: ")
	if contains(s.output.String(), "is in use") {
		t.Error("a file with a problem is used")
	}
	settings("concurrency: 16", "concurrency: 4\n    queue: 500\n    breaker: {failures: 3}\n    retry: {max_attempts: 3}", "temperature_limit: 60", "temperature_limit: 61",
		"  outbox:\n", "  publisher: {timeout: 5s, retry: {max_attempts: 3}}\n  outbox:\n", "device:\n", "log:\n  level: debug\ndevice:\n")
	logs("configuration: the changed file " + config + " is in use")
	for _, key := range []string{"server.mqtt.queue", "device.temperature_limit"} {
		logs(key + ": needs a restart")
	}
	if out := s.output.String(); contains(out, "concurrency: needs a restart") || contains(out, "publisher.timeout: needs") || contains(out, "third") {
		t.Error("the log says too much")
	}
	stop()
	load.wantRows(t, openTable(t, "sqlite", path))
	accepted, failed := load.count()
	t.Logf("%d reports accepted, %d refused", accepted, failed)
}
