package mqtttest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// CA is a certificate authority for one test, with one server and one client certificate, in
// memory and in files in the temporary directory of the test.
type CA struct {
	// CertFile is the certificate of the authority.
	CertFile string
	// ServerCertFile and ServerKeyFile are for localhost, 127.0.0.1 and ::1.
	ServerCertFile, ServerKeyFile string
	// ClientCertFile and ClientKeyFile are for a client named "client".
	ClientCertFile, ClientKeyFile string

	tb     testing.TB
	dir    string
	cert   *x509.Certificate
	key    *ecdsa.PrivateKey
	server tls.Certificate
	client tls.Certificate
}

// NewCA creates an authority. Two authorities do not trust each other: a second one can serve
// as the wrong CA.
func NewCA(tb testing.TB) *CA {
	tb.Helper()
	ca := &CA{tb: tb, dir: tb.TempDir()}
	template := certificate("mqtttest CA", time.Now().Add(24*time.Hour))
	template.IsCA = true
	template.BasicConstraintsValid = true
	template.KeyUsage = x509.KeyUsageCertSign
	ca.key = ca.newKey()
	ca.cert = ca.sign(template, template, &ca.key.PublicKey, ca.key)
	ca.CertFile = ca.write("ca.crt", "CERTIFICATE", ca.cert.Raw)
	ca.server, ca.ServerCertFile, ca.ServerKeyFile = ca.Issue("server", x509.ExtKeyUsageServerAuth, time.Now().Add(24*time.Hour), "localhost", "127.0.0.1", "::1")
	ca.client, ca.ClientCertFile, ca.ClientKeyFile = ca.Issue("client", x509.ExtKeyUsageClientAuth, time.Now().Add(24*time.Hour))
	return ca
}

// Issue creates another certificate, in memory and in files: for another host name, for a
// rotation, or an expired one if notAfter is in the past. hosts are DNS names and IP
// addresses.
func (ca *CA) Issue(name string, usage x509.ExtKeyUsage, notAfter time.Time, hosts ...string) (pair tls.Certificate, certFile, keyFile string) {
	ca.tb.Helper()
	template := certificate(name, notAfter)
	template.KeyUsage = x509.KeyUsageDigitalSignature
	template.ExtKeyUsage = []x509.ExtKeyUsage{usage}
	for _, h := range hosts {
		if ip := net.ParseIP(h); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, h)
		}
	}
	key := ca.newKey()
	cert := ca.sign(template, ca.cert, &key.PublicKey, ca.key)
	der, err := x509.MarshalPKCS8PrivateKey(key)
	ca.must(err)
	certFile = ca.write(name+".crt", "CERTIFICATE", cert.Raw)
	keyFile = ca.write(name+".key", "PRIVATE KEY", der)
	return tls.Certificate{Certificate: [][]byte{cert.Raw}, PrivateKey: key, Leaf: cert}, certFile, keyFile
}

// Pool returns a pool with only this authority.
func (ca *CA) Pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(ca.cert)
	return pool
}

// ServerConfig returns the configuration of a server with the server certificate. It requires
// a client certificate of this authority if clientCerts is true.
func (ca *CA) ServerConfig(clientCerts bool) *tls.Config {
	cfg := &tls.Config{Certificates: []tls.Certificate{ca.server}, MinVersion: tls.VersionTLS12}
	if clientCerts {
		cfg.ClientAuth, cfg.ClientCAs = tls.RequireAndVerifyClientCert, ca.Pool()
	}
	return cfg
}

// ClientConfig returns the configuration of a client that trusts this authority and presents
// the client certificate on request.
func (ca *CA) ClientConfig() *tls.Config {
	return &tls.Config{RootCAs: ca.Pool(), Certificates: []tls.Certificate{ca.client}, MinVersion: tls.VersionTLS12}
}

func certificate(name string, notAfter time.Time) *x509.Certificate {
	serial, _ := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120)) // rand.Reader never fails
	return &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: name},
		NotBefore:    notAfter.Add(-48 * time.Hour),
		NotAfter:     notAfter,
	}
}

func (ca *CA) newKey() *ecdsa.PrivateKey {
	ca.tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	ca.must(err)
	return key
}

func (ca *CA) sign(template, parent *x509.Certificate, public *ecdsa.PublicKey, key *ecdsa.PrivateKey) *x509.Certificate {
	ca.tb.Helper()
	der, err := x509.CreateCertificate(rand.Reader, template, parent, public, key)
	ca.must(err)
	cert, err := x509.ParseCertificate(der)
	ca.must(err)
	return cert
}

func (ca *CA) write(name, kind string, der []byte) string {
	ca.tb.Helper()
	file := filepath.Join(ca.dir, name)
	ca.must(os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600))
	return file
}

func (ca *CA) must(err error) {
	ca.tb.Helper()
	if err != nil {
		ca.tb.Fatalf("mqtttest: certificate: %v", err)
	}
}
