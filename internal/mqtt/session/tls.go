package session

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"strings"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/link"
)

// tlsCause wraps err in an [event.TLSError] with its TLS problem, or returns err
// unchanged if it has another cause. With TLS 1.3 a broker refuses the client's
// certificate only after the handshake, while CONNACK is awaited. certified reports
// whether a client certificate was sent.
func tlsCause(err error, certified bool) error {
	if err == nil {
		return nil
	}
	problem := tlsProblem(err, certified)
	if problem == "" {
		return err
	}
	return &event.TLSError{Problem: problem, Cause: err}
}

func tlsProblem(err error, certified bool) event.TLSProblem {
	var (
		name      x509.HostnameError
		invalid   x509.CertificateInvalidError
		authority x509.UnknownAuthorityError
		verify    *tls.CertificateVerificationError
		header    tls.RecordHeaderError
		op        *net.OpError
		proxy     *link.ProxyError
	)
	switch {
	case errors.As(err, &proxy):
		return "" // about the proxy, which the error names
	case errors.As(err, &name):
		return event.TLSWrongName
	case errors.As(err, &authority):
		return event.TLSUnknownAuthority
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return event.TLSExpired
	case errors.As(err, &verify), errors.As(err, &invalid):
		return event.TLSInvalid
	case errors.As(err, &header):
		return event.TLSNotSpoken
	case errors.As(err, &op) && (op.Op == "remote error" || op.Op == "local error"):
		return alertProblem(op.Err.Error(), op.Op == "remote error", certified)
	case strings.Contains(err.Error(), "tls: server selected unsupported protocol version"):
		return event.TLSOldProtocol
	case strings.Contains(err.Error(), "tls: "):
		return event.TLSFailed
	}
	return ""
}

// alertProblem classifies an alert by its text, because its type is not exported (RFC 8446,
// section 6.2, has the alerts).
func alertProblem(text string, remote, certified bool) event.TLSProblem {
	says := func(texts ...string) bool {
		for _, s := range texts {
			if strings.Contains(text, s) {
				return true
			}
		}
		return false
	}
	switch {
	case says("protocol version"):
		return event.TLSOldProtocol
	case !remote:
		return event.TLSFailed
	case says("certificate required"), !certified && says("handshake failure", "bad certificate", "no certificate"):
		return event.TLSCertificateRequired // TLS 1.2 has no separate alert for it
	case says("certificate", "unknown authority", "access denied", "decrypt error"):
		return event.TLSCertificateRefused
	}
	return event.TLSFailed
}
