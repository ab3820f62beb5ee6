package conf

import (
	"errors"
	"fmt"
	"math"
	"net"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
)

// Validate reports everything that is wrong or missing, joined.
func (b *Bootstrap) Validate() error {
	server := b.GetServer()
	errs := []error{
		checkListener("server.http", server.GetHttp() != nil, server.GetHttp().GetAddr(), server.GetHttp().GetTimeout()),
		checkListener("server.grpc", server.GetGrpc() != nil, server.GetGrpc().GetAddr(), server.GetGrpc().GetTimeout()),
		checkListener("server.embedded", server.GetEmbedded() != nil, server.GetEmbedded().GetAddr(), nil),
		b.GetData().GetDatabase().check(),
		b.checkStores(),
	}
	if server.GetHttp() == nil && server.GetGrpc() == nil && server.GetMqtt() == nil {
		errs = append(errs, errors.New("server: none of http, grpc and mqtt is configured"))
	}
	if server.GetMqtt() != nil && b.GetData().GetDatabase() == nil {
		errs = append(errs, errors.New("server.mqtt: saves to a database, but data.database is not configured"))
	}
	if len(b.GetMqtt().GetConnection().GetAddresses()) == 0 && server.GetEmbedded() == nil {
		errs = append(errs, fmt.Errorf("mqtt.connection.addresses: empty, set %s", EnvMQTTBroker))
	}
	if limit := b.GetDevice().GetTemperatureLimit(); math.IsNaN(limit) || math.IsInf(limit, 0) {
		errs = append(errs, errors.New("device.temperature_limit: not a number"))
	}
	if silence := b.GetDevice().GetOfflineAfter(); silence != nil && silence.AsDuration() <= 0 {
		errs = append(errs, fmt.Errorf("device.offline_after %s: want more than 0", silence.AsDuration()))
	}
	return errors.Join(errs...)
}

func checkListener(section string, configured bool, addr string, timeout *durationpb.Duration) error {
	if !configured {
		return nil
	}
	var errs []error
	if _, _, err := net.SplitHostPort(addr); err != nil {
		errs = append(errs, fmt.Errorf("%s.addr %q: want host:port", section, addr))
	}
	if timeout != nil && timeout.AsDuration() < time.Millisecond {
		errs = append(errs, fmt.Errorf("%s.timeout %s: want at least 1ms", section, timeout.AsDuration()))
	}
	return errors.Join(errs...)
}
