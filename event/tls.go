package event

import (
	"errors"
	"fmt"
)

// TLSProblem classifies why a TLS connection to the broker could not be opened. Its text is
// stable, so that it can be a metric label.
type TLSProblem string

// The problems of TLS.
const (
	// TLSWrongName means that the broker's certificate is for another name than the one in the
	// address. Correct the address, or set tls.server_name.
	TLSWrongName TLSProblem = "wrong-name"
	// TLSExpired means that the broker's certificate has expired or is not valid yet. The
	// clock of this machine may be wrong, too.
	TLSExpired TLSProblem = "expired"
	// TLSUnknownAuthority means that no trusted authority issued the broker's certificate.
	// Set tls.ca_file to the authority of the broker.
	TLSUnknownAuthority TLSProblem = "unknown-authority"
	// TLSInvalid means that the broker's certificate is not acceptable for another reason,
	// such as one that was not issued for servers.
	TLSInvalid TLSProblem = "invalid"
	// TLSOldProtocol means that the broker supports no TLS version from 1.2 on.
	TLSOldProtocol TLSProblem = "old-protocol"
	// TLSCertificateRequired means that the broker wants a client certificate and none was
	// sent. Set tls.cert_file and tls.key_file.
	TLSCertificateRequired TLSProblem = "certificate-required"
	// TLSCertificateRefused means that the broker did not accept the client certificate: it
	// has expired, was revoked, or is not of an authority that the broker trusts.
	TLSCertificateRefused TLSProblem = "certificate-refused"
	// TLSNotSpoken means that the broker's port does not speak TLS.
	TLSNotSpoken TLSProblem = "not-tls"
	// TLSFailed means any other failure of the handshake.
	TLSFailed TLSProblem = "failed"
)

// TLSError describes why a TLS connection could not be opened. errors.As finds it in the error
// of a call that failed for this reason, in that of [ConnectAttemptInfo], and in [Health].
type TLSError struct {
	// Problem classifies the failure.
	Problem TLSProblem
	// Cause is the error of the handshake, or the alert that the broker sent.
	Cause error
}

// Error returns one line without secrets.
func (e *TLSError) Error() string { return fmt.Sprintf("%s: %v", e.Problem.phrase(), e.Cause) }

// Unwrap returns the cause.
func (e *TLSError) Unwrap() error { return e.Cause }

// TLSProblemOf returns the problem of the first [TLSError] in err's chain, or "".
func TLSProblemOf(err error) TLSProblem {
	if e, ok := errors.AsType[*TLSError](err); ok {
		return e.Problem
	}
	return ""
}

// phrase returns the problem in words, for the log.
func (p TLSProblem) phrase() string {
	switch p {
	case TLSWrongName:
		return "the broker's certificate is for another name"
	case TLSExpired:
		return "the broker's certificate has expired or is not valid yet"
	case TLSUnknownAuthority:
		return "the broker's certificate is of no trusted authority"
	case TLSInvalid:
		return "the broker's certificate is not acceptable"
	case TLSOldProtocol:
		return "the broker supports no TLS version from 1.2 on"
	case TLSCertificateRequired:
		return "the broker requires a client certificate"
	case TLSCertificateRefused:
		return "the broker does not accept the client certificate"
	case TLSNotSpoken:
		return "the port does not speak TLS"
	}
	return "TLS failed"
}
