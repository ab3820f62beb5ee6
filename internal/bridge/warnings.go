package bridge

import (
	"slices"

	"github.com/kratos-mqtt/kratos-mqtt/internal/engine"
)

// warn logs what works, but hardly as meant.
func (s *Settings) warn(l *engine.Log, cfg *engine.Config) {
	slices.Sort(s.ignored)
	for _, name := range slices.Compact(s.ignored) {
		l.Infof("mqtt: option %s has no effect here", name)
	}
	s.ignored = nil
	if s.Files != nil && s.Files.insecure {
		l.Warnf("mqtt: the broker's certificate is not verified (insecure_skip_verify): for development only")
	}
	for _, a := range cfg.Addresses {
		if (cfg.Password != "" || len(a.Password) > 0) && !a.Secure() && !a.Loopback() {
			l.Warnf("mqtt: the password goes to %s in clear text: use mqtts", a)
		}
	}
	seen := make(map[string]bool)
	for _, a := range cfg.Addresses {
		if proxy := cfg.Proxy.InClear(a); proxy != "" && !seen[proxy] {
			seen[proxy] = true
			l.Warnf("mqtt: the proxy's password goes to %s in clear text: use https", proxy)
		}
	}
	if cfg.ClientID == "" && cfg.CleanSession != nil && !*cfg.CleanSession {
		l.Warnf("mqtt: the session shall be kept, but there is no client id: each start leaves a session behind that nobody comes back to")
	}
}
