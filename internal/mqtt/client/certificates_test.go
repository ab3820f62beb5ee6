package client

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
)

// A certificate file that gains the certificate of an intermediate authority is a new one,
// although the certificate of the client itself stays: without it a broker refuses the client.
func TestChainOfNewFiles(t *testing.T) {
	t.Parallel()
	ca := mqtttest.NewCA(t)
	_, cert, key := ca.Issue("chained", x509.ExtKeyUsageClientAuth, time.Now().Add(time.Hour))
	leaf, err := os.ReadFile(cert)
	issuer, caErr := os.ReadFile(ca.CertFile)
	file := filepath.Join(t.TempDir(), "client.crt")
	if err = errors.Join(err, caErr, os.WriteFile(file, leaf, 0o600)); err != nil {
		t.Fatal(err)
	}
	c, err := newCertificates(TLSFiles{ca: ca.CertFile, cert: file, key: key})
	if err != nil {
		t.Fatal(err)
	}
	c.try = func(context.Context, *tls.Config) error { return nil }
	if err := os.WriteFile(file, append(leaf, issuer...), 0o600); err != nil {
		t.Fatal(err)
	}
	if !c.look(t.Context()) {
		t.Error("the new chain is not used")
	}
	if config, err := c.use(); err != nil || len(config.Certificates[0].Certificate) != 2 {
		t.Errorf("%d certificates, %v", len(config.Certificates[0].Certificate), err)
	}
	for range 2 {
		if c.look(t.Context()) {
			t.Error("the same files are new again")
		}
	}
}
