package link

import (
	"crypto/tls"
	"crypto/x509"
	"time"
)

// Ends has the times at which the certificates of a connection expire. A zero time
// means that there is no certificate.
type Ends struct {
	Broker time.Time
	Client time.Time // of the certificate that the broker asked for
}

// watch returns a copy of a configuration that records the certificate which the
// handshake sends. The configuration chooses it as before.
func (e *Ends) watch(config *tls.Config) *tls.Config {
	choose := config.GetClientCertificate
	if choose == nil && len(config.Certificates) == 0 {
		return config
	}
	config = config.Clone()
	config.GetClientCertificate = func(r *tls.CertificateRequestInfo) (*tls.Certificate, error) {
		c, err := chosen(config.Certificates, choose, r)
		if err == nil {
			e.Client = endOf(c)
		}
		return c, err
	}
	return config
}

// presented adds the certificate of the broker.
func (e *Ends) presented(nc *tls.Conn) Ends {
	if list := nc.ConnectionState().PeerCertificates; len(list) > 0 {
		e.Broker = list[0].NotAfter
	}
	return *e
}

// chosen returns the certificate that crypto/tls would choose.
func chosen(list []tls.Certificate, choose func(*tls.CertificateRequestInfo) (*tls.Certificate, error), r *tls.CertificateRequestInfo) (*tls.Certificate, error) {
	if choose != nil {
		return choose(r)
	}
	for i := range list {
		if r.SupportsCertificate(&list[i]) == nil {
			return &list[i], nil
		}
	}
	return new(tls.Certificate), nil
}

// endOf returns when a certificate ends, or the zero time if there is none.
func endOf(c *tls.Certificate) time.Time {
	if c == nil || len(c.Certificate) == 0 {
		return time.Time{}
	}
	leaf := c.Leaf
	if leaf == nil {
		var err error
		if leaf, err = x509.ParseCertificate(c.Certificate[0]); err != nil {
			return time.Time{}
		}
	}
	return leaf.NotAfter
}
