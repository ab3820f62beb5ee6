package certificate_test

import (
	"crypto/x509"
	"os"
	"path/filepath"
	"testing"

	"github.com/kratos-mqtt/kratos-mqtt/tools/kratos-mqtt/internal/certificate"
)

// verify checks the certificate in a folder as a client does that trusts ca.
func verify(t *testing.T, ca, host string) error {
	t.Helper()
	pair, path, err := certificate.Server(filepath.Dir(ca), host)
	if err != nil || path != ca {
		t.Fatalf("%q, %v", path, err)
	}
	text, err := os.ReadFile(ca)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(text)
	leaf, err := x509.ParseCertificate(pair.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	_, err = leaf.Verify(x509.VerifyOptions{Roots: roots, DNSName: host})
	return err
}

// A certificate is used again while it has the hosts, and replaced otherwise.
func TestServer(t *testing.T) {
	t.Parallel()
	ca := filepath.Join(t.TempDir(), "new", "ca.pem")
	var before []byte
	for _, c := range []struct {
		host string
		same bool
	}{{"localhost", false}, {"localhost", true}, {"127.0.0.1", false}, {"broker.example", false}} {
		if err := verify(t, ca, c.host); err != nil {
			t.Errorf("%s: %v", c.host, err)
		}
		now, err := os.ReadFile(ca)
		if err != nil || (string(now) == string(before)) != c.same {
			t.Errorf("%s: used again %t, want %t (%v)", c.host, !c.same, c.same, err)
		}
		before = now
	}
	if err := os.Remove(ca); err != nil {
		t.Fatal(err)
	}
	if err := verify(t, ca, "broker.example"); err != nil {
		t.Errorf("without its authority: %v", err)
	}
	if _, _, err := certificate.Server(filepath.Join(ca, "below"), "localhost"); err == nil {
		t.Error("a folder below a file is no error")
	}
}
