package client

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/event/deadletter"
	"github.com/kratos-mqtt/kratos-mqtt/event/message"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/envelope"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/parking/retained"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/session"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
)

func idle(context.Context, *Delivery) error { return nil }

// numbered returns the id of the i-th letter.
func numbered(i int) string { return fmt.Sprintf("018bcfe5-6800-7000-8000-%012x", i) }

// eachVersion runs a test on both versions of MQTT.
func eachVersion(t *testing.T, test func(t *testing.T, version option)) {
	for name, p := range map[string]session.Protocol{"3.1.1": Version31, "5": Version5} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, func(c *Config) { c.Protocol = p })
		})
	}
}

// tested makes the store of a client run its self-test and count its dead letters.
func tested(t *testing.T, c *Client) {
	t.Helper()
	s := c.store.(*retained.Store)
	if err := s.Test(within(t, patience)); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Stats(within(t, patience)); err != nil {
		t.Fatal(err)
	}
}

func TestRetainedStore(t *testing.T) {
	t.Parallel()
	eachVersion(t, func(t *testing.T, version option) {
		b := mqtttest.Mosquitto(t, mqtttest.WithMaxInflight(5))
		var log book
		c := running(t, client(t, b.URL(), version, logTo(&log)), on("work", idle))
		s := c.DeadLetters()
		var want []string
		for i := range 30 { // more than the broker's window
			l := &deadletter.Letter{
				Message: message.Message{Topic: "work", Payload: fmt.Append(nil, i), QoS: 1, Headers: []message.Header{{Key: "k", Value: "v"}}},
				ID:      numbered(i), State: deadletter.Dead, Filter: "work", Service: "shop", Reason: "bad", Attempts: 2,
			}
			if i == 7 {
				l.Payload = nil
			}
			if err := s.Put(within(t, patience), l); err != nil {
				t.Fatal(err)
			}
			want = append(want, l.ID)
		}
		if n := strings.Count(strings.Join(log.all(), "\n"), "keeps retained messages"); n != 1 {
			t.Errorf("tested %d times: %v", n, log.all())
		}
		list, err := s.List(within(t, patience), deadletter.Query{})
		if err != nil {
			t.Fatal(err)
		}
		var ids []string
		for _, l := range list {
			ids = append(ids, l.ID)
		}
		if !slices.Equal(ids, want) {
			t.Errorf("%v", ids)
		}
		if l := list[3]; l.Topic != "work" || string(l.Payload) != "3" || l.Reason != "bad" || l.Attempts != 2 || l.Header("k") != "v" {
			t.Errorf("%+v", l)
		}
		page, err := s.List(within(t, patience), deadletter.Query{After: numbered(3), Limit: 2})
		if err != nil || len(page) != 2 || page[0].ID != numbered(4) {
			t.Errorf("%v %v", page, err)
		}
		if l, err := s.Get(within(t, patience), numbered(7)); err != nil || len(l.Payload) != 0 {
			t.Errorf("%+v %v", l, err)
		}
		if err := s.Delete(within(t, patience), want[1:]...); err != nil {
			t.Fatal(err)
		}
		for _, id := range []string{numbered(7), "gone", "", "+", "a/b", "0/#", "dead-letter/shop/00/gone", "dead-letter/shop/+/#", "dead-letter/other/00/gone"} {
			if _, err := s.Get(within(t, patience), id); !errors.Is(err, deadletter.ErrNotFound) {
				t.Errorf("%q: %v", id, err)
			}
		}
		if st, err := s.Stats(within(t, patience)); err != nil || st.Dead != 1 || st.Max != DefaultMaxLetters || st.Bytes == 0 || st.MaxBytes != DefaultMaxLetterBytes {
			t.Errorf("%+v %v", st, err)
		}
		if n := c.Unmatched(); n != 0 {
			t.Errorf("%d unmatched", n)
		}
	})
}

// A dead letter is kept for later inspection, with all properties of its message.
func TestDeadLetterIsRetained(t *testing.T) {
	t.Parallel()
	eachVersion(t, func(t *testing.T, version option) {
		b := mqtttest.Mosquitto(t)
		var to seen
		s := on("work", func(context.Context, *Delivery) error { return errors.New("bad") })
		s.MaxAttempts = 1
		c := running(t, client(t, b.URL(), version, func(c *Config) {
			c.Hooks.DeadLettered = func(i event.DeadLetterInfo) { to.add("%s %s", i.ID, i.Destination) }
		}), s)
		m := &Message{Topic: "work", QoS: 1, Payload: []byte("x"), Properties: &Properties{
			ContentType: "text/plain", User: []UserProperty{{Key: "a", Value: "1"}, {Key: "a", Value: "2"}}, Expiry: time.Hour,
		}}
		if err := c.Publish(within(t, patience), encoded(m, nil)); err != nil {
			t.Fatal(err)
		}
		id, destination, _ := strings.Cut(to.wait(t, 1)[0], " ")
		if destination != "dead-letter/shop/"+id[len(id)-2:]+"/"+id {
			t.Errorf("destination %q", destination)
		}
		later := running(t, client(t, b.URL(), version, func(c *Config) { c.ClientID = "later" }), on("work", idle))
		l, err := later.DeadLetters().Get(within(t, patience), id)
		if err != nil {
			t.Fatal(err)
		}
		if l.Topic != "work" || string(l.Payload) != "x" || l.Reason != "bad" || l.Attempts != 1 || l.Owner != "" || l.Filter != "work" {
			t.Errorf("%+v", l)
		}
		if later.cfg.Protocol == Version5 {
			if l.ContentType != "text/plain" || len(l.Headers) != 2 || l.Headers[1].Value != "2" || l.Expiry < 59*time.Minute {
				t.Errorf("%+v", l)
			}
		}
		n, err := deadletter.Replay(within(t, patience), later.DeadLetters(), func(ctx context.Context, l *deadletter.Letter) error {
			return later.Publish(ctx, encoded(envelope.Outgoing(&l.Message), nil))
		})
		if n != 1 || err != nil {
			t.Errorf("%d, %v", n, err)
		}
		if again, _, _ := strings.Cut(to.wait(t, 2)[1], " "); again == id {
			t.Error("the letter of a replay has the old id")
		}
	})
}

// If the broker retains nothing, no message is acknowledged for its dead letter, and
// Health reports the reason. A store that was chosen explicitly reports it earlier.
func TestRetainedSelfTestFails(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct{ acl, want string }{
		"not published": {"topic deny dead-letter/shop/check/#", "did not come back"},
		"not read":      {"topic write dead-letter/shop/#", "end/"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			acl := []string{"topic readwrite work", tt.acl}
			if name == "not published" {
				acl = append(acl, "topic readwrite dead-letter/shop/end/#")
			}
			b := mqtttest.Mosquitto(t, mqtttest.WithACL(acl...))
			p := mqtttest.NewProxy(t, b.URL())
			var log book
			s := on("work", func(context.Context, *Delivery) error { return errors.New("bad") })
			s.MaxAttempts = 1
			c := running(t, client(t, p.URL(), logTo(&log), func(c *Config) {
				c.Retained, c.StoreTimeout = true, 300*time.Millisecond
				c.Service = "shop"
			}), s)
			eventually(t, func() bool { return c.Health().DeadLetterError != nil })
			source := running(t, client(t, b.URL(), func(c *Config) { c.ClientID = "source" }))
			publish(t, source, "work", 1, "x")
			eventually(t, func() bool { return log.has("letter not accepted") })
			if err := c.Health().DeadLetterError; !strings.Contains(err.Error(), "self-test") {
				t.Errorf("%v", err)
			}
			if h := c.Health(); !h.Ready {
				t.Error("not ready")
			}
		})
	}
}

func TestRetainedIsChosen(t *testing.T) {
	t.Parallel()
	var log book
	c := running(t, client(t, mqtttest.Mosquitto(t).URL(), logTo(&log), func(c *Config) { c.Retained = true }), on("work", idle))
	eventually(t, func() bool { return log.has("keeps retained messages") })
	if err := c.Health().DeadLetterError; err != nil {
		t.Error(err)
	}
	if _, err := NewClient(Config{Connection: c.cfg.Connection, Retained: true, DeadLetters: deadletter.NewMemory(0)}, nil); err == nil {
		t.Error("two stores were accepted")
	}
	if err := c.Stop(within(t, patience)); err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{
		c.DeadLetters().Put(t.Context(), &deadletter.Letter{ID: "1"}), c.DeadLetters().Delete(t.Context(), "1"), second(c.DeadLetters().Stats(t.Context())),
	} {
		if !errors.Is(err, errStopped) {
			t.Errorf("after Stop: %v", err)
		}
	}
}

func second[T any](_ T, err error) error { return err }

// Letters are also published on the topic, but nothing waits for that.
func TestDeadLetterTopic(t *testing.T) {
	t.Parallel()
	eachVersion(t, func(t *testing.T, version option) {
		b := mqtttest.Mosquitto(t)
		store := deadletter.NewMemory(0)
		var got seen
		fail := func(context.Context, *Delivery) error { return errors.New("bad") }
		s := on("work", fail)
		s.Classify = func(error) event.Verdict { return event.VerdictDeadLetter }
		own := on("letters", func(_ context.Context, d *Delivery) error {
			kept := envelope.Kept(d.Inbound)
			l, err := deadletter.Decode(&kept)
			if err != nil {
				t.Error(err)
				return nil
			}
			got.add("%s %s %s", l.Topic, l.Payload, l.Reason)
			return errors.New("fails, too")
		})
		own.MaxAttempts = 1
		var log book
		c := running(t, client(t, b.URL(), version, keepIn(store), logTo(&log), func(c *Config) { c.DeadLetterTopic = "letters" }), s, own)
		publish(t, c, "work", 1, "x")
		if l := got.wait(t, 1)[0]; l != "work x bad" {
			t.Errorf("%s", l)
		}
		eventually(t, func() bool { return log.has("failed again and is given up") })
		if st := statsOf(t, store); st.Dead != 1 {
			t.Errorf("%+v", st)
		}
	})
}

func TestDeadLetterTopicFails(t *testing.T) {
	t.Parallel()
	b := mqtttest.Mosquitto(t)
	p := mqtttest.NewProxy(t, b.URL())
	store := deadletter.NewMemory(0)
	s := on("work", func(context.Context, *Delivery) error { return errors.New("bad") })
	s.Classify = func(error) event.Verdict { return event.VerdictDeadLetter }
	c := running(t, client(t, p.URL(), keepIn(store), func(c *Config) { c.DeadLetterTopic, c.StoreTimeout = "letters", time.Second }), s)
	p.Drop(mqtttest.ToClient, mqtttest.TypePuback, 1000)
	source := running(t, client(t, b.URL(), func(c *Config) { c.ClientID = "source" }))
	publish(t, source, "work", 1, "x")
	eventually(t, func() bool { return c.Health().DeadLetterTopicFailed == 1 && acks(p) == 1 })
	if st := statsOf(t, store); st.Dead != 1 || c.Health().DeadLetterError != nil {
		t.Errorf("%+v", st)
	}
}
