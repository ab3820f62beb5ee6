package mqtt_test

import (
	"context"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/go-kratos/kratos/v2/metadata"
	kmetadata "github.com/go-kratos/kratos/v2/middleware/metadata"
	"github.com/tx7do/kratos-transport/broker"

	v1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/v1"
	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
	mqttserver "github.com/kratos-mqtt/kratos-mqtt/transport/mqtt"
)

// A device could set Kratos metadata, such as the tenant, and the handler's publishes
// carried it on. Metadata is now accepted only for allowed names or from a trusted
// sender.
func TestASenderSetsNoMetadata(t *testing.T) {
	t.Parallel()
	sent := []string{"x-md-global-tenant", "X-MD-Global-Role", "x-md-local-hop", "X-Md-Service-Name"}
	all := []string{"x-md-global-role", "x-md-global-tenant", "x-md-local-hop", "x-md-service-name"}
	trust := mqttbroker.WithSubscribeTrustSender()
	tests := map[string]struct {
		server  []mqttserver.ServerOption
		options []broker.SubscribeOption
		enters  []string
	}{
		"default":            {},
		"a name":             {server: []mqttserver.ServerOption{mqttserver.AllowedMetadata("x-md-global-role")}, enters: all[:1]},
		"in any case":        {server: []mqttserver.ServerOption{mqttserver.AllowedMetadata("X-MD-Global-Role")}, enters: all[:1]},
		"what begins with":   {server: []mqttserver.ServerOption{mqttserver.AllowedMetadata("x-md-global-*")}, enters: all[:2]},
		"all":                {server: []mqttserver.ServerOption{mqttserver.AllowedMetadata("x-md-*")}, enters: all},
		"by configuration":   {server: []mqttserver.ServerOption{mqttserver.WithBrokerOptions(mqttbroker.WithSubscriberConfig(&v1.Subscriber{AllowedMetadata: []string{"x-md-local-hop"}}))}, enters: all[2:3]},
		"a name is no start": {server: []mqttserver.ServerOption{mqttserver.AllowedMetadata("x-md-global-")}},
		"trusted":            {options: []broker.SubscribeOption{trust}, enters: all},
		"trusted, and a name": {
			server: []mqttserver.ServerOption{mqttserver.AllowedMetadata("x-md-global-role")}, options: []broker.SubscribeOption{trust}, enters: all,
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := carrier{mqtttest.Mosquitto(t).URL(), mqttbroker.WithProtocol("5"), false}
			srv := c.server(t, append(tt.server, mqttserver.Middleware(kmetadata.Server()))...)
			got, headers, next := make(chan metadata.Metadata, 1), make(chan broker.Headers, 1), make(chan broker.Headers, 1)
			register(t, srv, "devices/1/data", func(ctx context.Context, _ string, h broker.Headers, _ *reading) error {
				md, _ := metadata.FromServerContext(ctx)
				got <- md
				headers <- h
				return srv.Publish(ctx, "alerts", broker.NewMessage(reading{}))
			}, tt.options...)
			register(t, srv, "alerts", func(_ context.Context, _ string, h broker.Headers, _ *reading) error {
				delete(h, "id")
				next <- h
				return nil
			}, trust)
			start(t, srv)
			opts := make([]broker.PublishOption, len(sent))
			for i, key := range sent {
				opts[i] = mqttbroker.WithCallOptions(event.Header(key, "forged"))
			}
			if err := c.broker(t).Publish(within(t, patience), "devices/1/data", broker.NewMessage(reading{}), opts...); err != nil {
				t.Fatal(err)
			}
			if md := slices.Sorted(maps.Keys(receive(t, got))); !slices.Equal(md, tt.enters) {
				t.Errorf("metadata %v, want %v", md, tt.enters)
			}
			if h := receive(t, headers); len(h) != len(sent)+1 { // and the id
				t.Errorf("the handler got the headers %v, want all", h)
			}
			var on []string
			for _, key := range tt.enters {
				if strings.HasPrefix(key, "x-md-global-") {
					on = append(on, key)
				}
			}
			if h := slices.Sorted(maps.Keys(receive(t, next))); !slices.Equal(h, on) {
				t.Errorf("%v went along with the next message, want %v", h, on)
			}
			if refused, want := srv.Health().MetadataRefused, int64(len(sent)-len(tt.enters)); refused != want {
				t.Errorf("%d refused, want %d", refused, want)
			}
		})
	}
}

func TestAllowedMetadataIsMetadata(t *testing.T) {
	t.Parallel()
	srv, _ := server(t, mqtttest.InProcess(t).URL(), mqttserver.AllowedMetadata("x-md-a", "tenant"))
	err := srv.Start(t.Context())
	wantReason(t, err, event.ReasonBadRequest, 400)
	if !strings.Contains(err.Error(), `"tenant" does not begin with x-md-`) || strings.Contains(err.Error(), `"x-md-a"`) {
		t.Errorf("got %v", err)
	}
}
