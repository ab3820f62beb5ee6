package client

import (
	"fmt"
	"slices"

	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/logsafe"
)

// warn logs settings that work, but probably not as intended.
func (s *Settings) warn(l logsafe.Log, cfg *Config) {
	if cfg.fenced {
		return // the client of the service does
	}
	slices.Sort(s.ignored)
	for _, name := range slices.Compact(s.ignored) {
		l.Info("mqtt: option " + name + " has no effect here")
	}
	s.ignored = nil
	for _, r := range s.risks(cfg) {
		l.Warn("mqtt: "+r.text, logsafe.KeyNames, r.key)
	}
}

// risk is a setting that exposes a secret; strict settings refuse it.
type risk struct{ key, text string }

func (s *Settings) risks(cfg *Config) []risk {
	var all []risk
	add := func(key, format string, args ...any) {
		if r := (risk{key, fmt.Sprintf(format, args...)}); !slices.Contains(all, r) {
			all = append(all, r)
		}
	}
	if s.Files != nil && s.Files.insecure {
		add("tls.insecure_skip_verify", "the broker's certificate is not verified (insecure_skip_verify): for development only")
	}
	for _, a := range cfg.Addresses {
		if a.Secure() || a.Loopback() {
			continue
		}
		if cfg.Password != "" || len(a.Password) > 0 || cfg.Credentials != nil {
			add("addresses", "the password goes to %s in clear text: use mqtts", a)
		}
		if cfg.Authenticator != nil {
			add("addresses", "the authentication data goes to %s in clear text: use mqtts", a)
		}
		if a.WebSocket() && cfg.Header.Get("Authorization") != "" {
			add("websocket_headers", "the Authorization header goes to %s in clear text: use wss", a)
		}
	}
	for _, a := range cfg.Addresses {
		if proxy := cfg.Proxy.InClear(a); proxy != "" {
			add("proxy", "the proxy's password goes to %s in clear text: use https", proxy)
		}
	}
	return all
}
