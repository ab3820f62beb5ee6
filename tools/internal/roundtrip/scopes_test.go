package roundtrip

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	kerrors "github.com/go-kratos/kratos/v2/errors"
	"google.golang.org/protobuf/types/known/emptypb"

	v1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/v1"
	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/event/dedup"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
	"github.com/kratos-mqtt/kratos-mqtt/tools/internal/golden/cases/nested"
	"github.com/kratos-mqtt/kratos-mqtt/tools/internal/golden/cases/plant"
	mqttserver "github.com/kratos-mqtt/kratos-mqtt/transport/mqtt"
)

// sites is a handler of the nested events.
type sites func(ctx context.Context, in *nested.Moved) error

func (f sites) Moved(ctx context.Context, in *nested.Moved) (*emptypb.Empty, error) {
	return new(emptypb.Empty), f(ctx, in)
}

func fifth(t *testing.T) *place {
	return &place{broker: mqtttest.Mosquitto(t), protocol: "5", id: "scopes"}
}

func sendJSON(t *testing.T, p *mqttbroker.Publisher, topic, payload string, header ...string) {
	t.Helper()
	opts := []event.CallOption{event.ContentType("application/json")}
	for i := 0; i < len(header); i += 2 {
		opts = append(opts, event.Header(header[i], header[i+1]))
	}
	must(t, p.Publish(within(t), topic, []byte(payload), opts...))
}

// If the method declares an ordering key, a header does not change the order: a message
// that fails delays only the key of its topic.
func TestHeaderHoldsUpNoOtherKey(t *testing.T) {
	t.Parallel()
	p := fifth(t)
	srv, _ := p.server(t, mqttserver.WithBrokerOptions(mqttbroker.WithSubscriberConfig(&v1.Subscriber{Subscriptions: map[string]*v1.Subscription{
		"/golden.nested.NestedEvents/Moved": {Exhausted: "park", Retry: &v1.Retry{MaxAttempts: 1}, ParkMaxAttempts: new(uint32(0))},
	}})))
	got := make(chan string, 100)
	nested.RegisterNestedEventsMQTTServer(srv, sites(func(_ context.Context, in *nested.Moved) error {
		if in.GetPlace().GetSite() == "A" {
			return kerrors.NotFound("NO_SITE", "unknown")
		}
		got <- in.GetPlace().GetSite()
		return nil
	}))
	start(t, srv)
	_, raw := p.client(t)
	sendJSON(t, raw, "sites/A/rooms/x", `{}`, "partitionkey", "B")
	eventually(t, "a parked message", func() bool { return srv.Health().Parked == 1 })
	for i := range 20 {
		sendJSON(t, raw, fmt.Sprintf("sites/B/rooms/%d", i), `{}`)
	}
	for n := range 20 {
		select {
		case <-got:
		case <-time.After(patience):
			t.Fatalf("handled %d of 20", n)
		}
	}
	if h := srv.Health(); h.Parked != 1 || h.TopParkedKeys[0].Key != "A" {
		t.Errorf("parked %d, held %+v", h.Parked, h.TopParkedKeys)
	}
}

// kept is a handler that blocks on one message until it is released, and reports the
// others.
type kept struct {
	release chan struct{}
	inside  chan struct{}
	others  chan string
}

func keeping() *kept {
	return &kept{make(chan struct{}), make(chan struct{}), make(chan string, 100)}
}

func (k *kept) handle(ctx context.Context, in *plant.Reading) error {
	if in.GetId() == "slow" {
		k.inside <- struct{}{}
		select {
		case <-k.release:
		case <-ctx.Done():
		}
	}
	k.others <- in.GetId()
	return nil
}

// Messages are ordered by a key of the payload or of a header.
func TestOrderOfKeys(t *testing.T) {
	t.Parallel()
	slow, other := `{"id":"slow","lot":"L"}`, `{"id":"other","lot":"L"}`
	for name, tt := range map[string]struct {
		opts    []event.RegisterOption
		prefix  string
		payload [2]string // of the slow message and of the other one
		topics  [2]string
		header  [2]string
		waits   bool
	}{
		"payload, one topic":           {nil, "", [2]string{slow, other}, [2]string{"plant/shown/A", "plant/shown/A"}, [2]string{}, true},
		"header, one topic":            {nil, "", [2]string{slow, other}, [2]string{"plant/measured/A", "plant/measured/A"}, [2]string{"1", "2"}, false},
		"header, one topic and key":    {nil, "", [2]string{slow, other}, [2]string{"plant/measured/A", "plant/measured/A"}, [2]string{"1", "1"}, true},
		"header, other topic":          {nil, "", [2]string{slow, other}, [2]string{"plant/measured/A", "plant/measured/B"}, [2]string{"1", "1"}, false},
		"header with another topic":    {nil, "", [2]string{slow, other}, [2]string{"plant/measured/A", "plant/measured/B"}, [2]string{"plant/measured/B", ""}, false},
		"header that spans topics":     {[]event.RegisterOption{event.KeysSpanTopics(true, "Measured")}, "", [2]string{slow, other}, [2]string{"plant/measured/A", "plant/measured/B"}, [2]string{"1", "1"}, true},
		"declared, other topic":        {nil, "", [2]string{slow, other}, [2]string{"plant/stored/A", "plant/stored/B"}, [2]string{}, false},
		"declared, one topic":          {nil, "", [2]string{slow, other}, [2]string{"plant/stored/A", "plant/stored/A"}, [2]string{}, true},
		"declared, spans topics":       {[]event.RegisterOption{event.KeysSpanTopics(true, "Stored")}, "", [2]string{slow, other}, [2]string{"plant/stored/A", "plant/stored/B"}, [2]string{}, true},
		"declared, spans, two tenants": {[]event.RegisterOption{event.KeysSpanTopics(true, "Stored"), event.FilterPrefix("+")}, "", [2]string{slow, other}, [2]string{"a/plant/stored/A", "b/plant/stored/A"}, [2]string{}, false},
		"declared, spans, one tenant":  {[]event.RegisterOption{event.KeysSpanTopics(true, "Stored"), event.FilterPrefix("+")}, "", [2]string{slow, other}, [2]string{"a/plant/stored/A", "a/plant/stored/B"}, [2]string{}, true},
		"declared, against the header": {nil, "", [2]string{slow, `{"id":"other","lot":"M"}`}, [2]string{"plant/stored/A", "plant/stored/A"}, [2]string{"X", "X"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := &place{broker: mqtttest.InProcess(t), protocol: "5", id: "order"}
			srv, _ := p.server(t)
			k := keeping()
			plant.RegisterPlantEventsMQTTServer(srv, &service{measured: k.handle, shown: k.handle, stored: k.handle},
				append(tt.opts, event.Except("Ask"))...)
			start(t, srv)
			_, raw := p.client(t)
			send := func(i int) {
				var header []string
				if tt.header[i] != "" {
					header = []string{"partitionkey", tt.header[i]}
				}
				sendJSON(t, raw, tt.topics[i], tt.payload[i], header...)
			}
			send(0)
			receive(t, k.inside)
			send(1)
			if tt.waits {
				eventually(t, "two messages here", func() bool { h := srv.Health(); return h.Running == 1 && h.Queued == 1 })
				close(k.release)
				if id := receive(t, k.others); id != "slow" {
					t.Errorf("%s overtook the other", id)
				}
				return
			}
			if id := receive(t, k.others); id != "other" {
				t.Errorf("%s, want the other", id)
			}
			close(k.release)
		})
	}
}

// A contradiction between header and declared key is counted and logged.
func TestContradictingKeyIsCounted(t *testing.T) {
	t.Parallel()
	p := &place{broker: mqtttest.InProcess(t), protocol: "5", id: "contradiction"}
	srv, out := p.server(t)
	ch := make(chan got, 10)
	plant.RegisterPlantEventsMQTTServer(srv, &service{stored: saw(ch)}, event.Only("Stored"))
	start(t, srv)
	_, raw := p.client(t)
	for _, header := range []string{"X", "L", "Y"} {
		sendJSON(t, raw, "plant/stored/A", `{"lot":"L"}`, "partitionkey", header)
		receive(t, ch)
	}
	if n := srv.Health().KeyMismatches; n != 2 {
		t.Errorf("%d contradictions", n)
	}
	if n := strings.Count(out.String(), "contradicts the field declared for it"); n != 1 {
		t.Errorf("%d lines:\n%s", n, out)
	}
}

// The declared id overrides the header in a generated service, also with the option for
// ids that span topics.
func TestDeclaredIDOfAMethod(t *testing.T) {
	t.Parallel()
	p := &place{broker: mqtttest.InProcess(t), protocol: "5", id: "declared"}
	window, err := dedup.NewMemory(dedup.MemoryOptions{})
	must(t, err)
	srv, _ := p.server(t, mqttserver.WithBrokerOptions(mqttbroker.WithDedup(window)))
	ch := make(chan got, 10)
	plant.RegisterPlantEventsMQTTServer(srv, &service{measured: saw(ch), shown: saw(ch)},
		event.Only("Measured", "Shown"), event.IDsSpanTopics(true, "Shown"))
	start(t, srv)
	_, raw := p.client(t)
	send := func(topic, field, header string) {
		sendJSON(t, raw, topic, fmt.Sprintf(`{"id":%q}`, field), "id", header)
	}
	send("plant/measured/A", "1", "x")
	send("plant/measured/A", "2", "x") // another message, because the header is ignored
	send("plant/measured/A", "2", "y") // a duplicate
	send("plant/measured/B", "2", "2") // from another device
	for _, want := range []string{"1", "2", "2"} {
		if m := receive(t, ch); m.id != want {
			t.Errorf("handled %s, want %s", m.id, want)
		}
	}
	send("plant/shown/A", "", "1")
	receive(t, ch)
	send("plant/shown/B", "", "1")     // a duplicate
	send("plant/old/B/shown", "", "1") // and one on an additional topic
	eventually(t, "three duplicates", func() bool { return srv.Health().Duplicates == 3 })
	if h := srv.Health(); h.IDMismatches != 3 || len(ch) > 0 {
		t.Errorf("%d contradictions, %d more handled", h.IDMismatches, len(ch))
	}
}
