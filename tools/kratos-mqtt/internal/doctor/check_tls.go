package doctor

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"strings"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/link"
)

// soon is how long before its end a certificate is worth a warning.
const soon = 30 * 24 * time.Hour

// certificate looks at the certificate of the broker. Nothing is sent but the handshake, which
// accepts any certificate so that a bad one can be explained.
func (t *target) certificate(ctx context.Context) Finding {
	f := Finding{Check: checkTLS, Grade: Missing, Values: map[string]any{}}
	look := t.dialer
	look.Header = nil
	var state tls.ConnectionState
	look.TLS = func() (*tls.Config, error) {
		c := t.tls.Clone()
		c.InsecureSkipVerify = true // verified below, and nothing is sent
		c.VerifyConnection = func(s tls.ConnectionState) error {
			state = s
			return nil
		}
		return c, nil
	}
	nc, err := look.Dial(ctx, link.Address{Scheme: "mqtts", Host: t.address.Host, Port: t.address.Port})
	if err == nil {
		_ = nc.Close()
	}
	if len(state.PeerCertificates) == 0 {
		if err != nil {
			f.Result = problem(err)
		}
		f.Advice = "the port may not speak TLS, or demand a client certificate: --cert and --key"
		return f
	}
	return t.judge(f, state, time.Now())
}

// judge verifies the certificate as the client does.
func (t *target) judge(f Finding, state tls.ConnectionState, now time.Time) Finding {
	leaf := state.PeerCertificates[0]
	left := leaf.NotAfter.Sub(now)
	f.Values = map[string]any{
		"version": tls.VersionName(state.Version), "cipher": tls.CipherSuiteName(state.CipherSuite), "subject": leaf.Subject.String(),
		"issuer": leaf.Issuer.String(), "not_after": leaf.NotAfter.UTC().Format(time.RFC3339), "days_left": int(left.Hours() / 24),
		"names": append(leaf.DNSNames, ipTexts(leaf)...),
	}
	f.Result = fmt.Sprintf("%s, certificate of %s until %s", tls.VersionName(state.Version), leaf.Subject.CommonName, leaf.NotAfter.UTC().Format(time.DateOnly))
	name := t.tls.ServerName
	if name == "" {
		name, _, _ = strings.Cut(t.address.Host, "%")
	}
	pool := x509.NewCertPool()
	for _, c := range state.PeerCertificates[1:] {
		pool.AddCert(c)
	}
	_, err := leaf.Verify(x509.VerifyOptions{Roots: t.tls.RootCAs, Intermediates: pool, DNSName: name, CurrentTime: now})
	switch {
	case err != nil:
		f.Result += ": " + err.Error()
		f.Advice = "the certificate is not accepted: pass the right authority with --ca, connect by a name that the certificate has, or renew it"
	case left < soon:
		f.Grade, f.Advice = Limited, "the certificate of the broker ends soon: renew it"
	default:
		f.Grade = OK
	}
	return f
}

func ipTexts(c *x509.Certificate) (texts []string) {
	for _, ip := range c.IPAddresses {
		texts = append(texts, ip.String())
	}
	return texts
}
