package client

import (
	"crypto/tls"
	"errors"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/logsafe"
)

// maxALPN is the maximum length of a protocol's name, in bytes (RFC 7301, section 3.1).
const maxALPN = 255

// reach sets how a broker is reached: through which proxy, and with which TLS protocols. It
// reports every problem by its key.
func (s *Settings) reach(cfg *Config, config *tls.Config) error {
	var errs []error
	bad := func(key, format string, args ...any) {
		errs = append(errs, event.NewSettingError("Connection", key, format, args...))
	}
	var err error
	if s.Proxy != "" {
		if cfg.Proxy, err = ParseProxy(s.Proxy); err != nil {
			bad("proxy", "%w", err)
		}
	}
	if config != nil || s.Files != nil {
		if err = s.tls(cfg, config); err != nil {
			bad("tls", "%w", logsafe.Error(err))
		}
	}
	if len(s.ALPN) == 0 {
		return errors.Join(errs...)
	}
	for _, name := range s.ALPN {
		if n := len(name); n == 0 || n > maxALPN {
			bad("tls.alpn", "has a name of %d bytes, want 1 to %d", n, maxALPN)
		}
	}
	cfg.TLS = withALPN(cfg.TLS, s.ALPN)
	return errors.Join(errs...)
}

// withALPN makes the source of a TLS configuration offer these protocols.
func withALPN(source func() (*tls.Config, error), names []string) func() (*tls.Config, error) {
	return func() (*tls.Config, error) {
		config := new(tls.Config)
		if source != nil {
			var err error
			if config, err = source(); err != nil {
				return nil, err
			}
		}
		config.NextProtos = names
		return config, nil
	}
}
