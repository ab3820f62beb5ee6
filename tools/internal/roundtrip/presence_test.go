package roundtrip

import (
	"context"
	"strings"
	"testing"
	"time"

	v1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/v1"
	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
	"github.com/kratos-mqtt/kratos-mqtt/tools/internal/golden/cases/plant"
	mqttserver "github.com/kratos-mqtt/kratos-mqtt/transport/mqtt"
)

func TestPresence(t *testing.T) {
	t.Parallel()
	places(t, func(t *testing.T, p *place) {
		watcher := *p
		watcher.id = "watcher"
		seen := make(chan *v1.Presence, 10)
		watch, _ := watcher.server(t)
		plant.WatchPlantEventsPresence(watch, func(_ context.Context, m *v1.Presence) error {
			seen <- m
			return nil
		}, event.FilterPrefix("site"))
		start(t, watch)

		proxy := mqtttest.NewProxy(t, strings.TrimPrefix(p.broker.URL(), "mqtt://"))
		srv, _ := p.server(t, mqttserver.WithAddress([]string{proxy.URL()}))
		plant.RegisterPlantEventsMQTTServer(srv, &service{}, event.Only("Measured"), event.FilterPrefix("site"))
		start(t, srv)
		var last time.Time
		next := func(online bool) {
			t.Helper()
			m := receive(t, seen)
			for m.GetOnline() && !m.GetSince().AsTime().After(last) {
				m = receive(t, seen) // sent again, because the connection was cut before its acknowledgement
			}
			if m.GetOnline() {
				last = m.GetSince().AsTime()
			}
			if m.GetOnline() != online || m.GetClientId() != "plant-1" || m.GetService() != "golden.plant.PlantEvents" || m.GetSince().IsValid() != online {
				t.Fatalf("got %v, want online %t", m, online)
			}
		}
		next(true)
		proxy.Cut()
		next(false)
		next(true)
		must(t, srv.Stop(within(t)))
		next(false)
		must(t, srv.Start(t.Context()))
		next(true)
		must(t, srv.Stop(within(t)))
		next(false)

		// The broker retains the message for later subscribers.
		late := *p
		late.id = "late"
		watch, _ = late.server(t)
		plant.WatchPlantEventsPresence(watch, func(_ context.Context, m *v1.Presence) error {
			seen <- m
			return nil
		}, event.FilterPrefix("site"))
		start(t, watch)
		next(false)
	})
}

func TestPresenceNeeds(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		opts []mqttserver.ServerOption
		want string
	}{
		"client id": {nil, "needs a client id"},
		"no will": {[]mqttserver.ServerOption{mqttserver.WithBrokerOptions(
			mqttbroker.WithClientId("x"), mqttbroker.WithWill("gone", []byte("x"), 0, false))}, "a will is configured"},
		"a level": {[]mqttserver.ServerOption{mqttserver.WithBrokerOptions(mqttbroker.WithClientId("a/b"))}, "contains /"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			srv := mqttserver.NewServer(append(tt.opts, mqttserver.WithAddress([]string{"mqtt://127.0.0.1:1"}))...)
			plant.RegisterPlantEventsMQTTServer(srv, &service{})
			if err := srv.Start(t.Context()); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}
