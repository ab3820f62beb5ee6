package link

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"testing"
	"time"
)

// The ends of both certificates are known after a handshake, of the client's only if the
// broker asked for it, whether the settings list it or choose it.
func TestEndsOfCertificates(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	cert, key := ca.leaf("client")
	listed, err := LoadTLS(ca.File, cert, key, "", false)
	if err != nil {
		t.Fatal(err)
	}
	pair := listed.Certificates[0]
	leaf, err := x509.ParseCertificate(pair.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	pair.Leaf = nil
	chosen := listed.Clone()
	chosen.Certificates = nil
	chosen.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil }
	bare, err := ca.trust()
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		config *tls.Config
		asks   tls.ClientAuthType
		want   time.Time
	}{
		"listed":    {listed, tls.RequireAnyClientCert, leaf.NotAfter},
		"chosen":    {chosen, tls.RequireAnyClientCert, leaf.NotAfter},
		"not asked": {listed, tls.NoClientCert, time.Time{}},
		"none":      {bare, tls.RequestClientCert, time.Time{}},
	} {
		t.Run(name, func(t *testing.T) {
			server := ca.serverConfig()
			server.ClientAuth = tt.asks
			host := listen(t, server, func(nc net.Conn) { _, _ = io.Copy(io.Discard, nc) })
			var got []Ends
			d := Dialer{TLS: func() (*tls.Config, error) { return tt.config, nil }, Certified: func(e Ends) { got = append(got, e) }}
			nc, err := d.Dial(context.Background(), mustParse(t, "mqtts://"+host))
			if err != nil {
				t.Fatal(err)
			}
			_ = nc.Close()
			if len(got) != 1 || !got[0].Client.Equal(tt.want) || got[0].Broker.IsZero() {
				t.Errorf("ends %v, want those of the client %v", got, tt.want)
			}
		})
	}
}
