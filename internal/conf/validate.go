package conf

import (
	"errors"
	"fmt"
	"math"
	"net"
	"net/url"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/event/stores"
)

// Validate returns all problems of the configuration, joined.
func (b *Bootstrap) Validate() error {
	server := b.GetServer()
	errs := []error{
		checkListener("server.http", server.GetHttp() != nil, server.GetHttp().GetAddr(), server.GetHttp().GetTimeout()),
		checkListener("server.grpc", server.GetGrpc() != nil, server.GetGrpc().GetAddr(), server.GetGrpc().GetTimeout()),
		checkListener("server.embedded", server.GetEmbedded() != nil, server.GetEmbedded().GetAddr(), nil),
		server.GetHttp().checkSites(),
		b.GetData().GetDatabase().check(),
		stores.Check(b.Settings(), b.GetData().GetDatabase() != nil),
		b.GetHealth().check(),
	}
	if server.GetHttp() == nil && server.GetGrpc() == nil && server.GetMqtt() == nil {
		errs = append(errs, problem("server", "none of http, grpc and mqtt is configured"))
	}
	if server.GetOperator() != nil && server.GetHttp() == nil && server.GetGrpc() == nil {
		errs = append(errs, problem("server.operator", "needs server.http or server.grpc, which serve it"))
	}
	if server.GetMqtt() != nil && b.GetData().GetDatabase() == nil {
		errs = append(errs, problem("server.mqtt", "saves to a database, but data.database is not configured"))
	}
	if len(b.GetMqtt().GetConnection().GetAddresses()) == 0 && server.GetEmbedded() == nil {
		errs = append(errs, problem("mqtt.connection.addresses", "empty, set %s", EnvMQTTBroker))
	}
	for i, address := range b.GetMqtt().GetConnection().GetAddresses() {
		if strings.TrimSpace(address) == "" {
			errs = append(errs, problem(fmt.Sprintf("mqtt.connection.addresses[%d]", i), "is blank, want the URL of a broker"))
		}
	}
	if limit := b.GetDevice().GetTemperatureLimit(); math.IsNaN(limit) || math.IsInf(limit, 0) {
		errs = append(errs, problem("device.temperature_limit", "not a number, want degrees Celsius"))
	}
	if silence := b.GetDevice().GetOfflineAfter(); silence != nil && silence.AsDuration() <= 0 {
		errs = append(errs, problem("device.offline_after", "is %s, want more than 0", silence.AsDuration()))
	}
	return errors.Join(append(errs, b.GetLog().check())...)
}

// problem returns an error about a key.
func problem(key, format string, args ...any) error {
	return &event.SettingError{Key: key, Text: fmt.Sprintf(format, args...)}
}

func checkListener(section string, configured bool, addr string, timeout *durationpb.Duration) error {
	if !configured {
		return nil
	}
	var errs []error
	if _, _, err := net.SplitHostPort(addr); err != nil {
		errs = append(errs, problem(section+".addr", "want host:port, as in 127.0.0.1:8000"))
	}
	if timeout != nil && timeout.AsDuration() < time.Millisecond {
		errs = append(errs, problem(section+".timeout", "is %s, want at least 1ms", timeout.AsDuration()))
	}
	return errors.Join(errs...)
}

// check validates the limits of the probes.
func (h *Health) check() error {
	var errs []error
	for _, limit := range []struct {
		key   string
		value *durationpb.Duration
	}{
		{"certificate", h.GetCertificate()},
		{"outbox_age", h.GetOutboxAge()},
		{"message_age", h.GetMessageAge()},
		{"letters_lost", h.GetLettersLost()},
		{"losses_within", h.GetLossesWithin()},
	} {
		if d := limit.value; d != nil && (!d.IsValid() || d.AsDuration() <= 0) {
			errs = append(errs, problem("health."+limit.key, "is %s, want more than 0", d.AsDuration()))
		}
	}
	if h != nil && h.Losses != nil && (h.GetLosses() == 0 || h.GetLosses() > maxLosses) {
		errs = append(errs, problem("health.losses", "is %d, want 1 to %d", h.GetLosses(), maxLosses))
	}
	return errors.Join(errs...)
}

// maxLosses bounds how many times of losses a probe keeps for each client id.
const maxLosses = 1000

// checkSites validates the host names of this process and the origins that may use it.
func (c *Server_HTTP) checkSites() error {
	var errs []error
	for i, host := range c.GetHosts() {
		if host == "" || strings.ContainsAny(host, ":/@*? \t") {
			errs = append(errs, problem(fmt.Sprintf("server.http.hosts[%d]", i), "is not a host name, want one without scheme and port, as in reports.example"))
		}
	}
	for i, origin := range c.GetOrigins() {
		u, err := url.Parse(origin)
		if err != nil || u.Scheme == "" || u.Host == "" || origin != u.Scheme+"://"+strings.ToLower(u.Host) ||
			u.Scheme == "https" && u.Port() == "443" || u.Scheme == "http" && u.Port() == "80" { // browsers leave them out
			errs = append(errs, problem(fmt.Sprintf("server.http.origins[%d]", i), "is not an origin, want scheme and host in lower case, no path and no default port, as in https://console.example"))
		}
	}
	return errors.Join(errs...)
}
