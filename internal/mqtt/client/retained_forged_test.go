package client

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/kratos-mqtt/kratos-mqtt/event/deadletter"
	"github.com/kratos-mqtt/kratos-mqtt/event/message"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/envelope"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/parking/retained"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
)

const letterTopic = "dead-letter/shop/"

// retainLetter writes a letter as any client can that may publish below dead-letter/.
func retainLetter(t *testing.T, as *Client, topic string, l *deadletter.Letter, keys deadletter.SigningKeys) {
	t.Helper()
	m, err := keys.Encode(l, as.cfg.Protocol == Version5)
	if err != nil {
		t.Fatal(err)
	}
	out := envelope.Outgoing(m)
	out.Topic, out.Retain = topic, true
	if err := as.Publish(within(t, patience), encoded(out, nil)); err != nil {
		t.Fatal(err)
	}
}

func forged(id, topic string) *deadletter.Letter {
	return &deadletter.Letter{
		ID: id, State: deadletter.Dead, Service: "shop", Filter: "work", Reason: "forged",
		Message: message.Message{Topic: topic, Payload: []byte("by somebody else"), QoS: 1},
	}
}

// published records what a replay publishes.
type published struct {
	mu  sync.Mutex
	all []string
}

func (p *published) publish(_ context.Context, l *deadletter.Letter) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.all = append(p.all, l.Topic+" "+string(l.Payload))
	return nil
}

// Letters of other writers are listed as such and not replayed; the service's own letters
// are replayed once and removed.
func TestForgedRetainedLetters(t *testing.T) {
	t.Parallel()
	eachVersion(t, func(t *testing.T, version option) {
		b := mqtttest.Mosquitto(t)
		c := running(t, client(t, b.URL(), version), on("work", idle))
		other := running(t, client(t, b.URL(), version, func(c *Config) { c.ClientID = "other" }))
		s := c.DeadLetters()
		honest := &deadletter.Letter{
			Message: message.Message{Topic: "work", Payload: []byte("honest"), QoS: 1}, ID: numbered(1),
			State: deadletter.Dead, Filter: "work", Service: "shop", Reason: "bad",
		}
		if err := s.Put(within(t, patience), honest); err != nil {
			t.Fatal(err)
		}
		at := s.(*retained.Store).Destination
		parked, elsewhere := forged(numbered(6), "work"), forged(numbered(7), "work")
		parked.State, elsewhere.Service = deadletter.Parked, "other"
		suspect := map[string]*deadletter.Letter{ // by topic
			at(numbered(2)):                 forged(numbered(2), "valves/7/open"), // no topic of ours
			at(numbered(3)):                 forged(honest.ID, "work"),            // the id of another letter
			letterTopic + "ff/" + honest.ID: forged(honest.ID, "work"),            // in another part
			letterTopic + "00/0":            forged("0/#", "work"),                // an id that cannot be a topic
			at(numbered(4)):                 forged("0/#", "work"),
			at(numbered(6)):                 parked,
			at(numbered(7)):                 elsewhere,
			letterTopic + "zz/\u202e":       forged("\u202e", "work/+"), // neither can its topic
			letterTopic + strings.ToUpper("ab/018BCFE5-6800-7000-8000-0000000000AB"): forged("018bcfe5-6800-7000-8000-0000000000ab", "work"),
		}
		for topic, l := range suspect {
			retainLetter(t, other, topic, l, nil)
		}
		broken := at(numbered(5))
		if err := other.Publish(within(t, patience), encoded(&Message{Topic: broken, Payload: []byte("no letter"), QoS: 1, Retain: true}, nil)); err != nil {
			t.Fatal(err)
		}

		list, err := s.List(within(t, patience), deadletter.Query{State: deadletter.Dead})
		if err != nil || len(list) != len(suspect)+2 {
			t.Fatalf("%d letters, %v; want %d", len(list), err, len(suspect)+2)
		}
		for _, l := range list {
			if topic := at(l.ID); (l.Suspect != "") != (topic != at(honest.ID)) || l.Suspect != "" && suspect[topic] == nil && topic != broken {
				t.Errorf("%s on %s: suspect %q", l.ID, topic, l.Suspect)
			}
		}
		for range 3 { // each replay goes on to the end
			var p published
			n, err := deadletter.Replay(within(t, patience), s, p.publish)
			if !errors.Is(err, deadletter.ErrSuspect) || !errors.Is(err, deadletter.ErrDamaged) {
				t.Errorf("replay: %v", err)
			}
			if want := []string{"work honest"}[:n]; n > 1 || !slices.Equal(p.all, want) {
				t.Errorf("%d replayed: %q", n, p.all)
			}
			honest.Payload = nil
		}
		if _, err := s.Get(within(t, patience), honest.ID); !errors.Is(err, deadletter.ErrNotFound) {
			t.Errorf("the honest letter after its replay: %v", err)
		}
		// An operator confirms by name, drops by topic, and then drops the rest.
		var p published
		if n, err := deadletter.ReplayConfirmed(within(t, patience), s, p.publish, numbered(2)); n != 1 || err != nil || p.all[0] != "valves/7/open by somebody else" {
			t.Errorf("%d confirmed, %q, %v", n, p.all, err)
		}
		if _, err := deadletter.ReplayConfirmed(within(t, patience), s, p.publish); err == nil {
			t.Error("all were confirmed without a name")
		}
		if n, err := deadletter.Delete(within(t, patience), s, letterTopic+"00/0", broken, numbered(3)); n != 3 || err != nil {
			t.Errorf("%d dropped by topic and id, %v; want 3", n, err)
		}
		if n, err := deadletter.Delete(within(t, patience), s); n != len(suspect)-3 || err != nil {
			t.Errorf("%d dropped, %v; want %d", n, err, len(suspect)-3)
		}
		if st, err := s.Stats(within(t, patience)); err != nil || st.Dead != 0 {
			t.Errorf("%+v, %v", st, err)
		}
	})
}

// With keys, only letters that one of them has signed are replayed, unchanged.
func TestSignedRetainedLetters(t *testing.T) {
	t.Parallel()
	eachVersion(t, func(t *testing.T, version option) {
		b := mqtttest.Mosquitto(t)
		old, fresh := deadletter.SigningKeys{[]byte(strings.Repeat("o", 32))}, deadletter.SigningKeys{[]byte(strings.Repeat("n", 32)), []byte(strings.Repeat("o", 32))}
		put := func(keys deadletter.SigningKeys, i int) {
			t.Helper()
			c := running(t, client(t, b.URL(), version, func(c *Config) { c.ClientID, c.SigningKeys = fmt.Sprint("writer", i), keys }))
			l := forged(numbered(i), "gone/for/long") // which no subscription matches any more
			l.Headers = []message.Header{{Key: "a", Value: "1"}, {Key: "dead-letter-mac", Value: "x"}}
			l.ContentType, l.ResponseTopic, l.CorrelationData = "text/plain", "reply/1", []byte{0, 1}
			if err := c.DeadLetters().Put(within(t, patience), l); err != nil {
				t.Fatal(err)
			}
		}
		put(old, 1)
		put(fresh, 2)
		put(nil, 3)
		put(deadletter.SigningKeys{[]byte(strings.Repeat("x", 32))}, 4)
		c := running(t, client(t, b.URL(), version, func(c *Config) { c.SigningKeys = fresh }), on("work", idle))
		s := c.DeadLetters()
		// A signed letter moved to the topic of another letter, and with another payload.
		l, err := s.Get(within(t, patience), numbered(2))
		if err != nil || l.Suspect != "" || l.Header("dead-letter-mac") != "x" {
			t.Fatalf("%+v, %v", l, err)
		}
		retainLetter(t, c, s.(*retained.Store).Destination(numbered(5)), l, old)
		changed := *l
		changed.ID, changed.Payload = numbered(6), []byte("changed")
		m, err := deadletter.Encode(&changed, c.cfg.Protocol == Version5) // with the old signature
		if err != nil {
			t.Fatal(err)
		}
		out := envelope.Outgoing(m)
		out.Topic, out.Retain = s.(*retained.Store).Destination(changed.ID), true
		if err := c.Publish(within(t, patience), encoded(out, nil)); err != nil {
			t.Fatal(err)
		}
		list, err := s.List(within(t, patience), deadletter.Query{})
		if err != nil || len(list) != 6 {
			t.Fatalf("%d letters, %v", len(list), err)
		}
		for i, want := range []string{"", "", "is not signed", "not of one of the keys", "its topic another", "not of one of the keys"} {
			if got := list[i].Suspect; (got == "") != (want == "") || !strings.Contains(got, want) {
				t.Errorf("letter %d: %q, want %q", i+1, got, want)
			}
		}
		var p published
		if n, err := deadletter.Replay(within(t, patience), s, p.publish); n != 2 || !errors.Is(err, deadletter.ErrSuspect) {
			t.Errorf("%d replayed, %v", n, err)
		}
	})
	if _, err := NewClient(Config{Connection: Connection{Addresses: []Address{{}}}, SigningKeys: deadletter.SigningKeys{[]byte("short")}}, nil); err == nil || !strings.Contains(err.Error(), "signing_keys") {
		t.Errorf("a short key: %v", err)
	}
}

// A client that clears probes and sends end-of-read markers stops neither dead letters
// nor lists.
func TestForeignProbes(t *testing.T) {
	t.Parallel()
	eachVersion(t, func(t *testing.T, version option) {
		b := mqtttest.Mosquitto(t)
		var other *Client
		ready := make(chan struct{})
		clears := func(ctx context.Context, d *Delivery) error {
			<-ready
			if len(d.Payload) > 0 {
				return other.Publish(ctx, encoded(&Message{Topic: d.Topic, QoS: 1, Retain: true}, nil))
			}
			return nil
		}
		ends := func(ctx context.Context, d *Delivery) error {
			<-ready
			if string(d.Payload) == "255" {
				return nil
			}
			return other.Publish(ctx, encoded(&Message{Topic: d.Topic, Payload: []byte("255"), QoS: 1}, nil))
		}
		other = running(t, client(t, b.URL(), version, func(c *Config) { c.ClientID = "other" }),
			on(letterTopic+"check/#", clears), on(letterTopic+"end/#", ends))
		close(ready)
		var log book
		c := running(t, client(t, b.URL(), version, logTo(&log)), on("work/+", idle))
		s := c.DeadLetters()
		putMany(t, s, 120, 4000) // read part by part
		if st, err := s.Stats(within(t, 2*patience)); err != nil || st.Dead != 120 {
			t.Errorf("%+v, %v", st, err)
		}
		if !log.has("keeps retained messages") {
			t.Error("the self-test did not end")
		}
	})
}
