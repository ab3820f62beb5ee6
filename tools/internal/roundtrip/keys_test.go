package roundtrip

import (
	"context"
	"fmt"
	"testing"
	"time"

	kerrors "github.com/go-kratos/kratos/v2/errors"
	"google.golang.org/protobuf/types/known/emptypb"

	v1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/v1"
	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/tools/internal/golden/cases/editionopen"
	mqttserver "github.com/kratos-mqtt/kratos-mqtt/transport/mqtt"
)

// openThings is a handler of events on
// things/{id}/{number}/{mode}/{part.name}/{set_id}, whose key is part.name.
type openThings func(in *editionopen.Thing) error

func (f openThings) Tell(_ context.Context, in *editionopen.Thing) (*emptypb.Empty, error) {
	return new(emptypb.Empty), f(in)
}

func (f openThings) Ask(context.Context, *editionopen.Thing) (*editionopen.Reply, error) {
	return new(editionopen.Reply), nil
}

// Access rules protect a topic from its first level on: a client that may write below
// things/A/ must not affect things/B/, whatever key follows. A message of A that fails
// delays no key of B.
func TestKeyBehindAnotherParameterHoldsUpNoOtherTopic(t *testing.T) {
	t.Parallel()
	p := fifth(t)
	srv, _ := p.server(t, mqttserver.WithBrokerOptions(mqttbroker.WithSubscriberConfig(&v1.Subscriber{Subscriptions: map[string]*v1.Subscription{
		"/golden.editionopen.ThingEvents/Tell": {Exhausted: "park", Retry: &v1.Retry{MaxAttempts: 1}, ParkMaxAttempts: new(uint32(0))},
	}})))
	got := make(chan string, 100)
	editionopen.RegisterThingEventsMQTTServer(srv, openThings(func(in *editionopen.Thing) error {
		if in.GetId() == "A" {
			return kerrors.NotFound("NO_THING", "unknown")
		}
		got <- in.GetId()
		return nil
	}), event.Only("Tell"))
	start(t, srv)
	_, raw := p.client(t)
	sendJSON(t, raw, "things/A/1/MODE_ON/wheel/true", `{}`)
	eventually(t, "a parked message", func() bool { return srv.Health().Parked == 1 })
	for i := range 20 {
		sendJSON(t, raw, fmt.Sprintf("things/B/%d/MODE_ON/wheel/true", i), `{}`)
	}
	for n := range 20 {
		select {
		case <-got:
		case <-time.After(patience):
			t.Fatalf("handled %d of 20, health: %d parked, held %+v", n, srv.Health().Parked, srv.Health().TopParkedKeys)
		}
	}
	if h := srv.Health(); h.Parked != 1 || h.TopParkedKeys[0].Key != "A/1/MODE_ON/wheel" {
		t.Errorf("parked %d, held %+v", h.Parked, h.TopParkedKeys)
	}
}
