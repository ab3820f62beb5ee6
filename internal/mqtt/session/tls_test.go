package session

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"testing"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/link"
)

func TestTLSCause(t *testing.T) {
	t.Parallel()
	remote := func(text string) error { return &net.OpError{Op: "remote error", Err: errors.New("tls: " + text)} }
	for _, tc := range []struct {
		err       error
		certified bool
		want      event.TLSProblem
	}{
		{errors.New("connection refused"), false, ""},
		{&net.OpError{Op: "dial", Err: errors.New("refused")}, false, ""},
		{&link.ProxyError{Proxy: "https://proxy", Err: remote("bad certificate")}, false, ""},
		{tls.RecordHeaderError{Msg: "first record does not look like a TLS handshake"}, false, event.TLSNotSpoken},
		{remote("certificate required"), true, event.TLSCertificateRequired},
		{remote("handshake failure"), false, event.TLSCertificateRequired},
		{remote("handshake failure"), true, event.TLSFailed},
		{remote("bad certificate"), true, event.TLSCertificateRefused},
		{remote("revoked certificate"), true, event.TLSCertificateRefused},
		{remote("unknown certificate authority"), true, event.TLSCertificateRefused},
		{remote("protocol version not supported"), true, event.TLSOldProtocol},
		{remote("internal error"), true, event.TLSFailed},
		{errors.New("tls: server selected unsupported protocol version 301"), false, event.TLSOldProtocol},
		{errors.New("tls: unexpected message"), false, event.TLSFailed},
	} {
		err := tlsCause(fmt.Errorf("wrapped: %w", tc.err), tc.certified)
		if got := event.TLSProblemOf(err); got != tc.want || !errors.Is(err, tc.err) {
			t.Errorf("%v: %q, want %q", err, got, tc.want)
		}
	}
}
