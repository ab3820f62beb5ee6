package conformance

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/tx7do/kratos-transport/broker"

	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
)

// atQoS returns the test of delivery at a QoS.
func (c *suite) atQoS(qos byte) func(*testing.T) {
	return func(t *testing.T) {
		c.delivery(t, []broker.PublishOption{c.publishQoS(qos)}, []broker.SubscribeOption{c.subscribeQoS(qos)})
	}
}

// delivery checks that messages arrive once, in order, unchanged.
func (c *suite) delivery(t *testing.T, publish []broker.PublishOption, subscribe []broker.SubscribeOption) {
	p := c.pair(t)
	var in inbox
	p.subscribe(p.topic, in.handle, subscribe...)
	want := append(bodies("", 50), "\x00\xff binary \n")
	p.publish(p.topic, want, publish...)
	p.expect(&in, want)
	for _, m := range in.all() {
		if m.topic != p.topic {
			t.Errorf("topic %q, want %q", m.topic, p.topic)
		}
	}
}

// headers checks that headers arrive with their own message only.
func (c *suite) headers(t *testing.T) {
	p := c.pair(t)
	var in inbox
	p.subscribe(p.topic, in.handle)
	for i, body := range bodies("", 10) {
		m := broker.NewMessage([]byte(body))
		m.Headers = broker.Headers{"number": strconv.Itoa(i), "text": "grüße, = ;"}
		if err := p.pub.Publish(p.within(), p.topic, m); err != nil {
			t.Fatal(err)
		}
	}
	p.publish(p.topic, []string{"none"})
	p.expect(&in, append(bodies("", 10), "none"))
	for i, m := range in.all()[:10] {
		if m.headers["number"] != strconv.Itoa(i) || m.headers["text"] != "grüße, = ;" {
			t.Errorf("message %d has headers %v", i, m.headers)
		}
	}
	if h := in.all()[10].headers; h["number"] != "" {
		t.Errorf("the message without headers has %v", h)
	}
}

// order checks that messages of one topic are handled in the order of publishing, one at a
// time.
func (c *suite) order(t *testing.T) {
	p := c.pair(t)
	const topics, messages = 5, 60
	var in inbox
	p.subscribe(p.topic+"/+", in.handle)
	for i := range messages {
		for n := range topics {
			p.publish(fmt.Sprint(p.topic, "/", n), []string{fmt.Sprintf("%05d", i)})
		}
	}
	p.eventually(func() error {
		if have := len(in.all()); have < topics*messages {
			return fmt.Errorf("%d messages of %d", have, topics*messages)
		}
		return nil
	})
	next := make(map[string]int)
	for _, m := range in.all() {
		if want := fmt.Sprintf("%05d", next[m.topic]); m.body != want {
			t.Fatalf("%s: %q, want %q", m.topic, m.body, want)
		}
		next[m.topic]++
	}
}

// wildcards checks that they match according to [MQTT-4.7.1].
func (c *suite) wildcards(t *testing.T) {
	p := c.pair(t)
	filters := map[string][]string{
		p.topic + "/w/+/temperature": {"/w/a/temperature", "/w/b/temperature"},
		p.topic + "/x/#":             {"/x", "/x/y", "/x/y/z"},
		p.topic + "/exact":           {"/exact"},
	}
	in := make(map[string]*inbox)
	for filter := range filters {
		in[filter] = new(inbox)
		p.subscribe(filter, in[filter].handle)
	}
	for _, topic := range []string{"/w/a/temperature", "/w/a/x/temperature", "/w/b/temperature", "/w/b", "/x", "/x/y", "/x/y/z", "/exact", "/exact/not", "/xx"} {
		p.publish(p.topic+topic, []string{topic})
	}
	p.settle()
	for filter, topics := range filters {
		p.eventually(func() error {
			if have := len(in[filter].all()); have < len(topics) {
				return fmt.Errorf("%s: %d messages of %d", filter, have, len(topics))
			}
			return nil
		})
		seen := make(map[string]bool)
		for _, m := range in[filter].all() {
			seen[m.body] = true
			if m.topic != p.topic+m.body || !slices.Contains(topics, m.body) {
				t.Errorf("%s took %q on %q", filter, m.body, m.topic)
			}
		}
		if len(seen) != len(topics) {
			t.Errorf("%s took %v, want %v", filter, seen, topics)
		}
	}
}

// largePayload checks that 200 KiB arrive unchanged between small messages.
func (c *suite) largePayload(t *testing.T) {
	p := c.pair(t)
	var in inbox
	p.subscribe(p.topic, in.handle)
	large := strings.Repeat("0123456789abcdef", 200<<10/16)
	want := []string{"before", large, "between", large[:100<<10], "after"}
	p.publish(p.topic, want)
	p.expect(&in, want)
}

// concurrentPublishers checks that many goroutines can publish with one broker.
func (c *suite) concurrentPublishers(t *testing.T) {
	p := c.pair(t)
	const publishers, messages = 8, 40
	rec := mqtttest.NewRecorder()
	p.subscribe(p.topic+"/+", func(_ context.Context, e broker.Event) error {
		rec.Handled(string(e.Message().BodyBytes()))
		return nil
	})
	var wg sync.WaitGroup
	for n := range publishers {
		wg.Go(func() {
			for _, body := range bodies(fmt.Sprint(n, "-"), messages) {
				rec.Attempted(body)
				ctx, cancel := context.WithTimeout(context.Background(), c.patience)
				err := p.pub.Publish(ctx, fmt.Sprint(p.topic, "/", n), broker.NewMessage([]byte(body)))
				cancel()
				if err != nil {
					t.Errorf("%s: %v", body, err)
					return
				}
				rec.Accepted(body)
			}
		})
	}
	wg.Wait()
	p.eventually(func() error { return rec.Report().Err() })
	if r := rec.Report(); r.Accepted != publishers*messages || r.Duplicates > 0 {
		t.Error(r)
	}
}

// sharedGroup checks that each message goes to one member of a group, and that all members get
// some.
func (c *suite) sharedGroup(t *testing.T) {
	const members, messages = 3, 60
	first := c.pair(t)
	rec := mqtttest.NewRecorder()
	in := make([]inbox, members)
	for i := range members {
		p := first
		if i > 0 {
			p = c.pair(t)
		}
		p.subscribe(first.topic, func(ctx context.Context, e broker.Event) error {
			rec.Handled(string(e.Message().BodyBytes()))
			return in[i].handle(ctx, e)
		}, broker.WithSubscribeQueueName("group"))
	}
	for _, body := range bodies("", messages) {
		first.publish(first.topic, []string{body})
		rec.Accepted(body)
	}
	first.eventually(func() error { return rec.Report().Err() })
	first.settle()
	if r := rec.Report(); r.Duplicates > 0 {
		t.Errorf("each message goes to one member: %v", r)
	}
	for i := range members {
		if len(in[i].all()) == 0 {
			t.Errorf("member %d got nothing", i)
		}
	}
}

// request checks that the replies to concurrent requests reach their callers.
func (c *suite) request(t *testing.T) {
	p := c.pair(t)
	c.serve(t, p.topic, func(request string) string { return "re: " + request })
	var wg sync.WaitGroup
	for _, body := range bodies("question ", 10) {
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(context.Background(), c.patience)
			defer cancel()
			reply, err := p.pub.Request(ctx, p.topic, broker.NewMessage([]byte(body)))
			if err != nil {
				t.Errorf("%s: %v", body, err)
			} else if reply == nil || string(reply.BodyBytes()) != "re: "+body {
				t.Errorf("%s: reply %+v", body, reply)
			}
		})
	}
	wg.Wait()
}
