package conformance

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/go-kratos/kratos/v2/encoding"
	"github.com/tx7do/kratos-transport/broker"

	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest/conformance"
	mqttserver "github.com/kratos-mqtt/kratos-mqtt/transport/mqtt"
)

// TestSuite runs the public suite against our broker package, on every server that
// keeps sessions and every version that it supports.
func TestSuite(t *testing.T) {
	t.Parallel()
	for name, start := range map[string]func(testing.TB) mqtttest.Broker{
		"InProcess": func(t testing.TB) mqtttest.Broker { return mqtttest.InProcess(t) },
		"Mosquitto": func(t testing.TB) mqtttest.Broker { return mqtttest.Mosquitto(t) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := start(t)
			for _, version := range versions(server) {
				if version == "auto" {
					continue // one of the other two
				}
				t.Run(version, func(t *testing.T) {
					t.Parallel()
					s := newSuite(t, server, version)
					conformance.Run(t, s.features(), s.pair, s.options()...)
				})
			}
		})
	}
}

// suite creates the brokers that the public suite needs.
type suite struct {
	server  mqtttest.Broker
	proxy   *mqtttest.Proxy
	version string
	pairs   int
}

func newSuite(t *testing.T, server mqtttest.Broker, version string) *suite {
	return &suite{server: server, proxy: mqtttest.NewProxy(t, server.URL()), version: version}
}

func (s *suite) features() mqtttest.Features {
	f := s.server.Features()
	f.Headers, f.Requests = f.Headers && s.version == "5", f.Requests && s.version == "5"
	return f
}

func (s *suite) options() []conformance.Option {
	return []conformance.Option{
		conformance.WithQoS(mqttbroker.WithPublishQos, mqttbroker.WithSubscribeQos),
		conformance.WithReplier(s.serve),
		conformance.WithCut(func() { s.proxy.Cut() }),
	}
}

func (s *suite) pair(*testing.T) (publisher, subscriber broker.Broker) {
	s.pairs++
	open := func(role string) broker.Broker {
		return mqttbroker.NewBroker(
			broker.WithAddress(s.proxy.URL()), broker.WithCodec(""), mqttbroker.WithProtocol(s.version), mqttbroker.WithKratosLogger(quiet()),
			mqttbroker.WithClientId(fmt.Sprint("suite-", strings.ReplaceAll(s.version, ".", ""), "-", role, s.pairs)),
			mqttbroker.WithConnectRetryInterval(10*time.Millisecond), mqttbroker.WithMaxReconnectInterval(100*time.Millisecond),
		)
	}
	return open("pub"), open("sub")
}

// serve answers requests with a server, because a broker has no repliers.
func (s *suite) serve(t *testing.T, topic string, answer func(string) string) {
	srv := mqttserver.NewServer(
		mqttserver.WithAddress([]string{s.proxy.URL()}), mqttserver.WithClientId("suite-replier"), mqttserver.WithBrokerOptions(mqttbroker.WithKratosLogger(quiet())),
		mqttserver.WithCodec(rawCodec{}.Name()), mqttserver.WithBrokerOptions(mqttbroker.WithProtocol(s.version)),
	)
	err := mqttserver.RegisterReplier(srv, within(t), topic, func(_ context.Context, request *[]byte) (*[]byte, error) {
		reply := []byte(answer(string(*request)))
		return &reply, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	run(t, srv)
}

// rawCodec leaves bytes unchanged. It exists because a replier needs a codec.
type rawCodec struct{}

func init() { encoding.RegisterCodec(rawCodec{}) } //nolint:gochecknoinits // as codecs of Kratos do

func (rawCodec) Name() string { return "raw" }

func (rawCodec) Marshal(v any) ([]byte, error) {
	if b, ok := v.(*[]byte); ok {
		return *b, nil
	}
	return nil, fmt.Errorf("%T is no bytes", v)
}

func (rawCodec) Unmarshal(data []byte, v any) error {
	b, ok := v.(*[]byte)
	if !ok {
		return fmt.Errorf("%T is no bytes", v)
	}
	*b = append([]byte(nil), data...)
	return nil
}
