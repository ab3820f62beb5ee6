package roundtrip

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	v1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/v1"
	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/event/deadletter"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
	"github.com/kratos-mqtt/kratos-mqtt/tools/internal/golden/cases/editionopen"
	"github.com/kratos-mqtt/kratos-mqtt/tools/internal/golden/cases/plant"
	mqttserver "github.com/kratos-mqtt/kratos-mqtt/transport/mqtt"
)

// badReply is a handler whose replies are not valid UTF-8.
type badReply struct{ openThings }

func (badReply) Ask(context.Context, *editionopen.Thing) (*editionopen.Reply, error) {
	return &editionopen.Reply{Text: new("\xff")}, nil
}

// A sender whose messages are logged can send many of them: the log has only a few lines
// of each kind per minute.
func TestNobodyMakesTheLogLarge(t *testing.T) {
	t.Parallel()
	const many, few = 300, 180
	for name, tt := range map[string]struct {
		handle func() error
		send   func(t *testing.T, raw *mqttbroker.Publisher, i int)
		told   string // the last line
		tries  int64
	}{
		"panics": {
			func() error { panic("this one") },
			func(t *testing.T, raw *mqttbroker.Publisher, i int) {
				t.Helper()
				sendJSON(t, raw, fmt.Sprint("plant/measured/", i), `{}`)
			}, "handler panicked", many,
		},
		"no topic for a letter": {
			nil,
			func(t *testing.T, raw *mqttbroker.Publisher, i int) {
				t.Helper()
				sendJSON(t, raw, fmt.Sprint("plant/measured/\u202e", i), `{`)
			}, "no dead-letter topic of its own", 0,
		},
		"a reply that cannot be sent": {
			nil,
			func(t *testing.T, raw *mqttbroker.Publisher, i int) {
				t.Helper()
				must(t, raw.Publish(within(t), "ask/7", fmt.Appendf(nil,
					`{"specversion":"1.0","id":"%d","source":"/7","type":"ask","responsetopic":"reply/7/%d","data":{}}`, i, i),
					event.ContentType("application/cloudevents+json")))
			}, "the reply cannot be sent", 0,
		},
		"numbers that are late": {
			func() error { return nil },
			func(t *testing.T, raw *mqttbroker.Publisher, i int) {
				t.Helper()
				numbers := []int{10_000 + i}
				if i == 0 { // the following checks need it
					numbers = []int{10_000, 20_000}
				}
				for _, n := range numbers {
					sendJSON(t, raw, "plant/measured/7", `{}`, "sequence", fmt.Sprint(n), "sequencesource", "s")
				}
			}, "missing", many,
		},
		"parked keys": {
			func() error { return errors.New("not now") },
			func(t *testing.T, raw *mqttbroker.Publisher, i int) {
				t.Helper()
				sendJSON(t, raw, "plant/shown/7", `{}`, "partitionkey", fmt.Sprint(i))
			}, "failed again", 3 * many,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := &place{broker: mqtttest.InProcess(t), protocol: "5", id: "log"}
			srv, out := p.server(t, mqttserver.WithBrokerOptions(mqttbroker.WithSubscriberConfig(&v1.Subscriber{Subscriptions: map[string]*v1.Subscription{
				"/golden.plant.PlantEvents/Measured": {Retry: &v1.Retry{MaxAttempts: 2, MinBackoff: durationpb.New(time.Millisecond)}},
				"/golden.plant.PlantEvents/Shown": {
					Exhausted: "park", ParkMaxAttempts: new(uint32(0)), Retry: &v1.Retry{
						MaxAttempts: 1, MinBackoff: durationpb.New(time.Millisecond), MaxBackoff: durationpb.New(2 * time.Millisecond),
					},
				},
			}})))
			var tries atomic.Int64
			handle := func(context.Context, *plant.Reading) error { tries.Add(1); return tt.handle() }
			plant.RegisterPlantEventsMQTTServer(srv, &service{measured: handle, shown: handle}, event.Only("Measured", "Shown"))
			editionopen.RegisterThingEventsMQTTServer(srv, badReply{}, event.Only("Ask"))
			start(t, srv)
			_, raw := p.client(t)
			for i := range many {
				tt.send(t, raw, i)
			}
			eventually(t, "the end of all", func() bool {
				h := srv.Health()
				return strings.Contains(out.String(), tt.told) && tries.Load() >= tt.tries && (h.Parked > 0 || h.Queued+h.Running == 0)
			})
			if n := strings.Count(out.String(), "msg="); n > few {
				t.Errorf("%d lines, %d bytes, for %d messages", n, len(out.String()), many)
			}
		})
	}
}

// A device that has used up its log lines does not suppress the lines of others.
func TestLettersOfOthersAreInTheLog(t *testing.T) {
	t.Parallel()
	p := &place{broker: mqtttest.InProcess(t), protocol: "5", id: "lines"}
	srv, out := p.server(t)
	plant.RegisterPlantEventsMQTTServer(srv, &service{}, event.Only("Measured"))
	start(t, srv)
	_, raw := p.client(t)
	for range 100 {
		sendJSON(t, raw, "plant/measured/A", `{`)
	}
	sendJSON(t, raw, "plant/measured/B", `{`)
	store, err := srv.DeadLetters()
	must(t, err)
	eventually(t, "all letters", func() bool {
		all, err := store.List(t.Context(), deadletter.Query{Limit: 200})
		return err == nil && len(all) == 101
	})
	eventually(t, "a line about B", func() bool { return strings.Contains(out.String(), "messaging.destination.name=plant/measured/B ") })
	if n := strings.Count(out.String(), "messaging.destination.name=plant/measured/A "); n > 60 {
		t.Errorf("%d lines about A", n)
	}
}
