// Package certificate makes the certificate of a development broker.
package certificate

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

const (
	// lifetime is how long a certificate is valid, and reuse the time that has to be left for
	// another start with it.
	lifetime = 365 * 24 * time.Hour
	reuse    = 24 * time.Hour
)

// Server returns the certificate of a server and the file of the authority that clients have
// to trust. Both are in a folder: a certificate that is there is used again if it has the
// hosts, which are DNS names and IP addresses, and is valid for another day; otherwise a new
// one replaces it. The key of the authority is not kept.
func Server(folder string, hosts ...string) (pair tls.Certificate, ca string, err error) {
	ca = filepath.Join(folder, "ca.pem")
	certFile, keyFile := filepath.Join(folder, "server.pem"), filepath.Join(folder, "server.key")
	if pair, err = tls.LoadX509KeyPair(certFile, keyFile); err == nil && serves(pair.Leaf, hosts) {
		if _, err = os.Stat(ca); err == nil {
			return pair, ca, nil
		}
	}
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return pair, "", err
	}
	authority, server, err := issue(hosts)
	if err != nil {
		return pair, "", err
	}
	key, err := x509.MarshalPKCS8PrivateKey(server.PrivateKey)
	if err != nil {
		return pair, "", err
	}
	err = errors.Join(
		write(keyFile, "PRIVATE KEY", key, 0o600),
		write(certFile, "CERTIFICATE", server.Certificate[0], 0o644),
		write(ca, "CERTIFICATE", authority, 0o644),
	)
	return server, ca, err
}

// serves reports whether a certificate can be used for the hosts.
func serves(leaf *x509.Certificate, hosts []string) bool {
	if leaf == nil || time.Until(leaf.NotAfter) < reuse {
		return false
	}
	for _, h := range hosts {
		if leaf.VerifyHostname(h) != nil {
			return false
		}
	}
	return true
}

// issue returns the certificate of a new authority and one that it signed.
func issue(hosts []string) (authority []byte, server tls.Certificate, err error) {
	ca := template("kratos-mqtt development CA")
	ca.IsCA, ca.BasicConstraintsValid, ca.KeyUsage = true, true, x509.KeyUsageCertSign
	caKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, server, err
	}
	if authority, err = x509.CreateCertificate(rand.Reader, ca, ca, &caKey.PublicKey, caKey); err != nil {
		return nil, server, err
	}
	leaf := template("kratos-mqtt development broker")
	leaf.KeyUsage, leaf.ExtKeyUsage = x509.KeyUsageDigitalSignature, []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	for _, h := range hosts {
		if ip := net.ParseIP(h); ip != nil {
			leaf.IPAddresses = append(leaf.IPAddresses, ip)
		} else {
			leaf.DNSNames = append(leaf.DNSNames, h)
		}
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, server, err
	}
	der, err := x509.CreateCertificate(rand.Reader, leaf, ca, &key.PublicKey, caKey)
	return authority, tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, err
}

func template(name string) *x509.Certificate {
	serial, _ := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120)) // rand.Reader never fails
	return &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(lifetime),
	}
}

func write(path, kind string, der []byte, mode os.FileMode) error {
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), mode); err != nil {
		return fmt.Errorf("certificate: %w", err)
	}
	return nil
}
