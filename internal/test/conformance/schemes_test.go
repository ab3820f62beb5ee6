package conformance

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/tx7do/kratos-transport/broker"

	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/internal/test/port"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
	testbroker "github.com/kratos-mqtt/kratos-mqtt/mqtttest/broker"
	mqttserver "github.com/kratos-mqtt/kratos-mqtt/transport/mqtt"
)

// TestSchemes connects with every scheme that a broker supports.
func TestSchemes(t *testing.T) {
	t.Parallel()
	ca := mqtttest.NewCA(t)
	type listeners interface {
		mqtttest.Broker
		TLSURL() string
		WebSocketURL() string
	}
	wss := port.Of(t)
	mosquitto := mqtttest.Mosquitto(t, mqtttest.WithTLS(ca), mqtttest.WithWebSocket(), mqtttest.WithConfig(
		fmt.Sprintf("listener %d 127.0.0.1", wss), "protocol websockets",
		"cafile "+ca.CertFile, "certfile "+ca.ServerCertFile, "keyfile "+ca.ServerKeyFile))
	for brokerName, tc := range map[string]struct {
		b   listeners
		wss string
	}{
		"Mosquitto": {mosquitto, fmt.Sprintf("wss://127.0.0.1:%d/mqtt", wss)},
		"InProcess": {mqtttest.InProcess(t, testbroker.WithTLS("127.0.0.1:0", ca.ServerConfig(false)), testbroker.WithWebSocket("127.0.0.1:0", nil)), ""},
	} {
		for _, url := range []string{tc.b.URL(), tc.b.TLSURL(), tc.b.WebSocketURL(), tc.wss} {
			if url == "" {
				continue
			}
			scheme, _, _ := strings.Cut(url, "://")
			for _, version := range versions(tc.b) {
				t.Run(brokerName+"/"+scheme+"/"+version, func(t *testing.T) {
					t.Parallel()
					var opts []broker.Option
					if scheme == "mqtts" || scheme == "wss" {
						opts = append(opts, broker.WithTLSConfig(ca.ClientConfig()))
					}
					throughScheme(t, url, version, opts...)
				})
			}
		}
	}
}

func throughScheme(t *testing.T, url, version string, opts ...broker.Option) {
	// Mosquitto's WebSockets transfer 40 KiB per second.
	bodies := append(numbered(20), bytes.Repeat([]byte("x"), 40<<10))
	var s seen
	srv := server(t, url, version, mqttserver.WithBrokerOptions(opts...))
	register(t, srv, name(t), s.handle, mqttbroker.WithSubscribeQos(2))
	run(t, srv)
	p := publisher(t, url, version, opts...)
	publishAll(t, p, name(t), bodies, event.QoS(2))
	for i, m := range s.wait(t, len(bodies)) {
		if !bytes.Equal(m.body, bodies[i]) {
			t.Fatalf("message %d of %d bytes is another", i, len(m.body))
		}
	}
}
