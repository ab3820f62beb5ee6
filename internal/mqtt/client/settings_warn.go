package client

import (
	"fmt"
	"slices"
)

// warn logs what works, but hardly as meant.
func (s *Settings) warn(l Logger, cfg *Config) {
	slices.Sort(s.ignored)
	for _, name := range slices.Compact(s.ignored) {
		l.Infof("mqtt: option %s has no effect here", name)
	}
	s.ignored = nil
	for _, r := range s.risks(cfg) {
		l.Warnf("mqtt: %s", r.text)
	}
	if cfg.ClientID == "" && cfg.CleanSession != nil && !*cfg.CleanSession {
		l.Warnf("mqtt: the session shall be kept, but there is no client id: each start leaves a session behind that nobody comes back to")
	}
}

// risk is a setting that lets a listener read a secret; strict settings refuse it.
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
