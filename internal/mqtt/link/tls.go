package link

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"strings"
)

// ErrTLSConfig is wrapped by every error of [LoadTLS].
var ErrTLSConfig = errors.New("TLS settings")

// LoadTLS reads PEM files into a client configuration. ca has the trusted
// authorities, which replace the system's; cert and key are the client
// certificate (mutual TLS); serverName is requested and verified in place of
// the host of the address. Empty arguments are ignored. insecure turns
// verification of the broker off and is for development only. All problems are
// reported at once, joined.
func LoadTLS(ca, cert, key, serverName string, insecure bool) (*tls.Config, error) {
	roots, err1 := loadRoots(ca)
	pairs, err2 := loadPair(cert, key)
	if err := errors.Join(err1, err2); err != nil {
		return nil, err
	}
	return &tls.Config{
		MinVersion:         tls.VersionTLS12,
		RootCAs:            roots,
		Certificates:       pairs,
		ServerName:         serverName,
		InsecureSkipVerify: insecure, //nolint:gosec // an explicit option for development
	}, nil
}

func loadRoots(ca string) (*x509.CertPool, error) {
	if ca == "" {
		return nil, nil
	}
	text, err := os.ReadFile(ca)
	if err != nil {
		return nil, fmt.Errorf("%w: authorities: %w", ErrTLSConfig, err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("%w: authorities: no certificate in %s", ErrTLSConfig, ca)
	}
	return roots, nil
}

func loadPair(cert, key string) ([]tls.Certificate, error) {
	switch {
	case cert == "" && key == "":
		return nil, nil
	case cert == "":
		return nil, fmt.Errorf("%w: a key without its certificate", ErrTLSConfig)
	case key == "":
		return nil, fmt.Errorf("%w: a certificate without its key", ErrTLSConfig)
	}
	certPEM, err1 := os.ReadFile(cert)
	keyPEM, err2 := os.ReadFile(key)
	if err := errors.Join(err1, err2); err != nil {
		return nil, fmt.Errorf("%w: certificate: %w", ErrTLSConfig, err)
	}
	pair, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		return nil, fmt.Errorf("%w: certificate %s with key %s: %w", ErrTLSConfig, cert, key, err)
	}
	return []tls.Certificate{pair}, nil
}

// tlsConfig returns the configuration for one connection to a.
func (d *Dialer) tlsConfig(a Address) (*tls.Config, error) {
	config := new(tls.Config)
	if d.TLS != nil {
		given, err := d.TLS()
		if err != nil {
			return nil, err
		}
		if given != nil {
			config = given.Clone()
		}
	}
	config.MinVersion = max(config.MinVersion, tls.VersionTLS12)
	if config.ServerName == "" {
		// Certificates do not contain IPv6 zones.
		config.ServerName, _, _ = strings.Cut(a.Host, "%")
	}
	if a.WebSocket() {
		config.NextProtos = []string{"http/1.1"}
	}
	return config, nil
}
