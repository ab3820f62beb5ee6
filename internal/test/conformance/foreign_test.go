package conformance

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest/broker"
	mqttserver "github.com/kratos-mqtt/kratos-mqtt/transport/mqtt"
)

// scene is a dialogue of a foreign client with the in-process broker.
type scene struct {
	name   string
	five   bool // needs MQTT 5
	detail bool // simple clients do not support it
	run    func(*testing.T, foreign, byte, *broker.Broker)
}

// TestForeignClients tests the in-process broker with clients of other projects.
func TestForeignClients(t *testing.T) {
	t.Parallel()
	scenes := []scene{
		{"QoS", false, false, eachQoS},
		{"Retained", false, false, retained},
		{"Wildcards", false, false, wildcards},
		{"LargePayload", false, false, largePayload},
		{"Shared", false, false, shared},
		{"Will", false, false, willOfKilled},
		{"OfflineQueue", false, true, offlineQueue},
		{"UserProperties", true, false, userProperties},
		{"Request", true, true, requestAndReply},
		{"SessionExpiry", true, true, sessionExpiry},
		{"TopicAlias", true, true, topicAlias},
		{"ReceiveMaximum", true, true, receiveMaximum},
	}
	for _, client := range foreignClients() {
		t.Run(client.name, func(t *testing.T) {
			t.Parallel()
			if what := client.missing(); what != "" {
				if os.Getenv("CI") == "true" {
					t.Fatal("not installed: ", what)
				}
				t.Skip("not installed: ", what)
			}
			for _, version := range []byte{4, 5} {
				for _, s := range scenes {
					if (s.five && version != 5) || (s.detail && client.simple) {
						continue
					}
					t.Run(fmt.Sprint(s.name, map[byte]string{4: "/3.1.1", 5: "/5"}[version]), func(t *testing.T) {
						b, err := broker.Listen()
						if err != nil {
							t.Fatal(err)
						}
						t.Cleanup(b.Close)
						s.run(t, client, version, b)
						if c := b.Counts(); c.Violations+c.Dropped()+c.StrayAcks != 0 {
							t.Errorf("%+v", c)
						}
					})
				}
			}
		})
	}
}

// subscriber starts a client with a clean session.
func (f *foreign) subscriber(t *testing.T, b *broker.Broker, version byte, id, filter string, qos byte) *receiver {
	t.Helper()
	return f.start(t, b, plan{Version: version, ID: id, Clean: true, Subscribe: []request{{filter, qos}}})
}

// expect checks everything that the client reports about messages.
func (f *foreign) expect(t *testing.T, got []arrival, want ...arrival) {
	t.Helper()
	if f.simple {
		for i := range want {
			want[i] = arrival{Payload: want[i].Payload}
		}
	}
	// Clients deliver a QoS 2 message when its handshake ends, so the order is checked
	// per QoS.
	byQoS := func(a, b arrival) int { return int(a.QoS) - int(b.QoS) }
	slices.SortStableFunc(want, byQoS)
	if got = slices.SortedStableFunc(slices.Values(got), byQoS); !slices.Equal(got, want) {
		t.Errorf("received %.500s, want %.500s", fmt.Sprint(got), fmt.Sprint(want))
	}
}

func eachQoS(t *testing.T, f foreign, version byte, b *broker.Broker) {
	all := f.subscriber(t, b, version, "sub", "t/x", 2)
	some := f.subscriber(t, b, version, "some", "t/x", 1)
	p := plan{Version: version, ID: "pub"}
	var want, less []arrival
	for i := range 9 {
		m := post{Topic: "t/x", Payload: fmt.Sprint("message ", i), QoS: byte(i % 3)}
		p.Publish = append(p.Publish, m)
		want = append(want, arrival{Topic: m.Topic, Payload: m.Payload, QoS: m.QoS})
		less = append(less, arrival{Topic: m.Topic, Payload: m.Payload, QoS: min(m.QoS, 1)})
	}
	f.publish(t, b, p)
	f.expect(t, all.wait(t, len(want)), want...)
	f.expect(t, some.wait(t, len(want)), less...)
	for _, id := range []string{"sub", "some"} {
		mqtttest.Eventually(t, patience, func() bool { return pending(b, id) == 0 }) // all handshakes end
	}
}

func pending(b *broker.Broker, id string) int {
	for _, s := range b.Sessions() {
		if s.ClientID == id {
			return s.Pending
		}
	}
	return -1
}

func retained(t *testing.T, f foreign, version byte, b *broker.Broker) {
	live := f.subscriber(t, b, version, "live", "t", 1)
	f.publish(t, b, plan{Version: version, ID: "pub", Publish: []post{
		{Topic: "t", Payload: "old", QoS: 1, Retain: true}, {Topic: "t", Payload: "new", QoS: 1, Retain: true},
	}})
	f.expect(t, live.wait(t, 2), arrival{Topic: "t", Payload: "old", QoS: 1}, arrival{Topic: "t", Payload: "new", QoS: 1})
	late := f.subscriber(t, b, version, "late", "#", 1)
	f.expect(t, late.wait(t, 1), arrival{Topic: "t", Payload: "new", QoS: 1, Retain: true})
	f.publish(t, b, plan{Version: version, ID: "pub", Publish: []post{{Topic: "t", QoS: 1, Retain: true}}})
	if kept := b.Retained(); len(kept) > 0 {
		t.Errorf("%q are kept", kept)
	}
}

func wildcards(t *testing.T, f foreign, version byte, b *broker.Broker) {
	level := f.subscriber(t, b, version, "level", "a/+/c", 0)
	below := f.subscriber(t, b, version, "below", "a/b/#", 0)
	p := plan{Version: version, ID: "pub"}
	for _, topic := range []string{"a/b/c", "a/c", "a/b", "a/x/c", "a/b/c/d", "$a/b/c"} {
		p.Publish = append(p.Publish, post{Topic: topic, Payload: topic, QoS: 1})
	}
	f.publish(t, b, p)
	f.expect(t, level.wait(t, 2), arrival{Topic: "a/b/c", Payload: "a/b/c"}, arrival{Topic: "a/x/c", Payload: "a/x/c"})
	f.expect(t, below.wait(t, 3), arrival{Topic: "a/b/c", Payload: "a/b/c"}, arrival{Topic: "a/b", Payload: "a/b"}, arrival{Topic: "a/b/c/d", Payload: "a/b/c/d"})
}

func largePayload(t *testing.T, f foreign, version byte, b *broker.Broker) {
	large := strings.Repeat("0123456789abcdef", 1<<16) // 1 MiB
	sub := f.subscriber(t, b, version, "sub", "large", 2)
	p := plan{Version: version, ID: "pub"}
	var want []arrival
	for qos := range byte(3) {
		p.Publish = append(p.Publish, post{Topic: "large", Payload: large, QoS: qos})
		want = append(want, arrival{Topic: "large", Payload: large, QoS: qos})
	}
	f.publish(t, b, p)
	f.expect(t, sub.wait(t, 3), want...)
}

func shared(t *testing.T, f foreign, version byte, b *broker.Broker) {
	members := []*receiver{
		f.subscriber(t, b, version, "one", "$share/group/t", 1),
		f.subscriber(t, b, version, "two", "$share/group/t", 1),
	}
	p := plan{Version: version, ID: "pub"}
	for i := range 6 {
		p.Publish = append(p.Publish, post{Topic: "t", Payload: fmt.Sprint(i), QoS: 1})
	}
	f.publish(t, b, p)
	var all []string
	for _, r := range members {
		for _, a := range r.wait(t, 3) { // they take turns
			all = append(all, a.Payload)
		}
	}
	slices.Sort(all)
	if want := []string{"0", "1", "2", "3", "4", "5"}; !slices.Equal(all, want) {
		t.Errorf("the members received %q together", all)
	}
}

func willOfKilled(t *testing.T, f foreign, version byte, b *broker.Broker) {
	watch := f.subscriber(t, b, version, "watch", "will", 1)
	mortal := plan{
		Version: version, ID: "mortal", Clean: true, Subscribe: []request{{"t", 0}},
		Will: &post{Topic: "will", Payload: "gone", QoS: 1},
	}
	f.start(t, b, mortal).end(os.Kill)
	f.expect(t, watch.wait(t, 1), arrival{Topic: "will", Payload: "gone", QoS: 1})
}

func offlineQueue(t *testing.T, f foreign, version byte, b *broker.Broker) {
	sub := plan{Version: version, ID: "sub", Subscribe: []request{{"t", 2}}}
	if version == 5 {
		sub.SessionExpiry = 300
	}
	f.start(t, b, sub).stop()
	p := plan{Version: version, ID: "pub"}
	var want []arrival
	for i := range 6 {
		m := post{Topic: "t", Payload: fmt.Sprint(i), QoS: byte(1 + i%2)}
		p.Publish = append(p.Publish, m)
		want = append(want, arrival{Topic: "t", Payload: m.Payload, QoS: m.QoS})
	}
	f.publish(t, b, p)
	if n := pending(b, "sub"); n != len(want) {
		t.Errorf("%d messages wait", n)
	}
	back := f.start(t, b, sub)
	f.expect(t, back.wait(t, len(want)), want...)
	mqtttest.Eventually(t, patience, func() bool { return pending(b, "sub") == 0 })
}

func userProperties(t *testing.T, f foreign, version byte, b *broker.Broker) {
	sub := f.subscriber(t, b, version, "sub", "t", 1)
	m := post{Topic: "t", Payload: "x", QoS: 1, User: "Grüße"}
	want := arrival{Topic: "t", Payload: "x", QoS: 1, User: m.User}
	if !f.simple {
		m.ContentType, want.ContentType = "text/plain", "text/plain"
	}
	seen := make(chan string, 1)
	b.Observe(func(o broker.Observed) {
		if o.Direction == broker.ToClient && o.Type() == broker.Publish {
			seen <- string(o.Body)
		}
	})
	f.publish(t, b, plan{Version: version, ID: "pub", Publish: []post{m}})
	f.expect(t, sub.wait(t, 1), want)
	if body := <-seen; !strings.Contains(body, m.User) {
		t.Errorf("sent %q", body)
	}
}

// A foreign client sends a request, and a server of this module answers it.
func requestAndReply(t *testing.T, f foreign, version byte, b *broker.Broker) {
	srv := server(t, b.URL(), "5", mqttserver.WithCodec(rawCodec{}.Name()))
	err := mqttserver.RegisterReplier(srv, within(t), "question/+", func(_ context.Context, request *[]byte) (*[]byte, error) {
		reply := fmt.Appendf(nil, "answer to %s", *request)
		return &reply, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	run(t, srv)
	asker := f.start(t, b, plan{
		Version: version, ID: "asker", Clean: true, Subscribe: []request{{"reply/asker", 1}},
		Publish: []post{{Topic: "question/asker", Payload: "life", QoS: 1, ResponseTopic: "reply/asker", Correlation: "42"}},
	})
	got := asker.wait(t, 1)[0]
	if got.Payload != "answer to life" || got.Correlation != "42" || got.Topic != "reply/asker" {
		t.Errorf("received %+v", got)
	}
}

func sessionExpiry(t *testing.T, f foreign, version byte, b *broker.Broker) {
	for id, expiry := range map[string]uint32{"short": 1, "long": 300} {
		f.start(t, b, plan{Version: version, ID: id, Clean: true, SessionExpiry: expiry, Subscribe: []request{{"t", 1}}}).end(os.Kill)
	}
	mqtttest.Eventually(t, patience, func() bool { return pending(b, "short") < 0 })
	if pending(b, "long") != 0 {
		t.Error("the session that was to last is gone")
	}
}

// The second and third message have an alias instead of the topic.
func topicAlias(t *testing.T, f foreign, version byte, b *broker.Broker) {
	sub := f.subscriber(t, b, version, "sub", "some/#", 1)
	p := plan{Version: version, ID: "pub"}
	var want []arrival
	for i := range 3 {
		p.Publish = append(p.Publish, post{Topic: "some/topic", Payload: fmt.Sprint(i), QoS: 1, Alias: 7, AliasAlone: i > 0})
		want = append(want, arrival{Topic: "some/topic", Payload: fmt.Sprint(i), QoS: 1})
	}
	var mu sync.Mutex
	alone := 0
	b.Observe(func(o broker.Observed) {
		if o.Direction == broker.ToBroker && o.Type() == broker.Publish && o.Topic() == "" {
			mu.Lock()
			defer mu.Unlock()
			alone++
		}
	})
	f.publish(t, b, p)
	f.expect(t, sub.wait(t, 3), want...)
	mu.Lock()
	defer mu.Unlock()
	if alone != 2 {
		t.Errorf("%d messages without a topic", alone)
	}
}

// The broker never has more messages in flight than the client's Receive Maximum.
func receiveMaximum(t *testing.T, f foreign, version byte, b *broker.Broker) {
	const messages, limit = 12, 2
	sub := plan{Version: version, ID: "sub", SessionExpiry: 300, Subscribe: []request{{"t", 2}}, ReceiveMaximum: limit}
	f.start(t, b, sub).stop()
	p := plan{Version: version, ID: "pub"}
	var want []arrival
	for i := range messages {
		m := post{Topic: "t", Payload: fmt.Sprint(i), QoS: byte(1 + i%2)}
		p.Publish = append(p.Publish, m)
		want = append(want, arrival{Topic: "t", Payload: m.Payload, QoS: m.QoS})
	}
	f.publish(t, b, p)
	var mu sync.Mutex
	inflight, most := 0, 0
	b.Observe(func(o broker.Observed) {
		mu.Lock()
		defer mu.Unlock()
		switch {
		case o.ClientID != "sub":
		case o.Direction == broker.ToClient && o.Type() == broker.Publish:
			inflight++
			most = max(most, inflight)
		case o.Direction == broker.ToBroker && (o.Type() == broker.Puback || o.Type() == broker.Pubcomp):
			inflight--
		}
	})
	f.expect(t, f.start(t, b, sub).wait(t, messages), want...)
	mu.Lock()
	defer mu.Unlock()
	if most != limit {
		t.Errorf("%d messages in flight, want up to %d", most, limit)
	}
}
