package link

import (
	"crypto/tls"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestLoadTLS(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	cert, key := ca.leaf("client")
	got, err := LoadTLS(ca.File, cert, key, "name", true)
	if err != nil {
		t.Fatal(err)
	}
	if got.MinVersion != tls.VersionTLS12 || got.RootCAs == nil || len(got.Certificates) != 1 ||
		got.ServerName != "name" || !got.InsecureSkipVerify {
		t.Errorf("got %+v", got)
	}
	got, err = LoadTLS("", "", "", "", false)
	if err != nil || got.RootCAs != nil || got.Certificates != nil || got.InsecureSkipVerify {
		t.Errorf("without arguments: %+v, %v", got, err)
	}
}

func TestLoadTLSReportsAllProblems(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	cert, key := ca.leaf("client")
	_, otherKey := ca.leaf("other")
	empty := filepath.Join(t.TempDir(), "empty")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	const missing = "does-not-exist"
	for _, tc := range []struct {
		name, ca, cert, key string
		want                []string
	}{
		{"key alone", "", "", key, []string{"key without"}},
		{"certificate alone", "", cert, "", []string{"certificate without"}},
		{"no authority inside", empty, "", "", []string{"no certificate in"}},
		{"wrong key", "", cert, otherKey, []string{"client.crt", "other.key"}},
		{"all missing", missing, "cert-gone", "key-gone", []string{missing, "cert-gone", "key-gone"}},
		{"two problems", empty, cert, "", []string{"no certificate in", "certificate without"}},
	} {
		_, err := LoadTLS(tc.ca, tc.cert, tc.key, "", false)
		if !errors.Is(err, ErrTLSConfig) {
			t.Errorf("%s: %v", tc.name, err)
			continue
		}
		for _, want := range tc.want {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %q is not in %v", tc.name, want, err)
			}
		}
	}
}

func TestTLSConfigOfADial(t *testing.T) {
	t.Parallel()
	host := Address{Scheme: "tls", Host: "broker", Port: 1}
	given := &tls.Config{MinVersion: tls.VersionTLS10, NextProtos: []string{"x"}}
	for _, tc := range []struct {
		name   string
		given  *tls.Config
		a      Address
		server string
		min    uint16
		protos int
	}{
		{"default", nil, host, "broker", tls.VersionTLS12, 0},
		{"raised", given, host, "broker", tls.VersionTLS12, 1},
		{"kept", &tls.Config{MinVersion: tls.VersionTLS13, ServerName: "other"}, host, "other", tls.VersionTLS13, 0},
		{"zone", nil, Address{Scheme: "tls", Host: "fe80::1%eth0"}, "fe80::1", tls.VersionTLS12, 0},
		{"wss", given, Address{Scheme: "wss", Host: "broker"}, "broker", tls.VersionTLS12, 1},
	} {
		d := Dialer{TLS: func() (*tls.Config, error) { return tc.given, nil }}
		got, err := d.tlsConfig(tc.a)
		if err != nil || got.ServerName != tc.server || got.MinVersion != tc.min || len(got.NextProtos) != tc.protos {
			t.Errorf("%s: %+v, %v", tc.name, got, err)
		}
	}
	if given.ServerName != "" || given.MinVersion != tls.VersionTLS10 || given.NextProtos[0] != "x" {
		t.Error("the given configuration was changed")
	}
}
