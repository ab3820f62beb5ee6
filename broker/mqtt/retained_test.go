package mqtt_test

import (
	"bytes"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
)

// topicsOf returns the topics and payloads of a page.
func topicsOf(p event.RetainedPage) string {
	var list []string
	for i := range p.Messages {
		m := &p.Messages[i]
		list = append(list, fmt.Sprintf("%s=%s", m.Topic, m.Payload))
	}
	if p.Incomplete {
		list = append(list, "incomplete")
	}
	return strings.Join(list, " ")
}

// Retained messages are read in pages, in the order of their topics, and deleted.
func TestRetained(t *testing.T) {
	t.Parallel()
	eachKeeper(t, func(t *testing.T, server mqtttest.Broker, protocol string) {
		b := connected(t, server.URL(), mqttbroker.WithProtocol(protocol), mqttbroker.WithClientId("r"))
		for i := range 5 {
			publish(t, b, fmt.Sprintf("a/%d", i), i, mqttbroker.WithPublishRetained(true), mqttbroker.WithPublishQos(byte(i%3)))
		}
		publish(t, b, "b", "other", mqttbroker.WithPublishRetained(true))
		publish(t, b, "a/live", "not retained")
		page := func(q event.RetainedQuery) event.RetainedPage {
			t.Helper()
			p, err := b.Retained(within(t, patience), q)
			if err != nil {
				t.Fatal(err)
			}
			return p
		}
		for _, tt := range []struct {
			q          event.RetainedQuery
			want, next string
		}{
			{event.RetainedQuery{Filters: []string{"#"}}, "a/0=0 a/1=1 a/2=2 a/3=3 a/4=4 b=\"other\"", ""},
			{event.RetainedQuery{Filters: []string{"a/+"}, Limit: 2}, "a/0=0 a/1=1", "a/1"},
			{event.RetainedQuery{Filters: []string{"a/+"}, Limit: 2, After: "a/1"}, "a/2=2 a/3=3", "a/3"},
			{event.RetainedQuery{Filters: []string{"a/+"}, Limit: 2, After: "a/3"}, "a/4=4", ""},
			{event.RetainedQuery{Filters: []string{"a/#"}, Bytes: 1}, "a/0=0", "a/0"},
			{event.RetainedQuery{Filters: []string{"a/3", "+/3", "b", "none"}}, "a/3=3 b=\"other\"", ""},
			{event.RetainedQuery{Filters: []string{"none/#"}}, "", ""},
		} {
			if p := page(tt.q); topicsOf(p) != tt.want || p.Next != tt.next {
				t.Errorf("%+v: %s, next %q, want %s, next %q", tt.q, topicsOf(p), p.Next, tt.want, tt.next)
			}
		}
		if m := page(event.RetainedQuery{Filters: []string{"a/1"}}).Messages[0]; !m.Retain || (m.ContentType != "") != (protocol == "5") || (m.Header("id") != "") != (protocol == "5") {
			t.Errorf("%+v", m)
		}
		for _, topic := range []string{"a/1", "a/1", "never"} {
			if err := b.ClearRetained(within(t, patience), topic); err != nil {
				t.Error(err)
			}
		}
		if got := topicsOf(page(event.RetainedQuery{Filters: []string{"a/+"}})); got != "a/0=0 a/2=2 a/3=3 a/4=4" {
			t.Errorf("after the deletion: %s", got)
		}
	})
}

// Live messages that the filter matches neither delay a read nor are listed.
func TestRetainedBesideLiveMessages(t *testing.T) {
	t.Parallel()
	eachKeeper(t, func(t *testing.T, server mqtttest.Broker, protocol string) {
		b := connected(t, server.URL(), mqttbroker.WithProtocol(protocol))
		publish(t, b, "a/kept", "x", mqttbroker.WithPublishRetained(true))
		p := publisher(t, server.URL(), protocol)
		stop, stopped := make(chan struct{}), make(chan struct{})
		go func() {
			defer close(stopped)
			for {
				select {
				case <-stop:
					return
				default:
				}
				if err := p.Publish(t.Context(), "a/live", []byte("x")); err != nil {
					t.Error(err)
					return
				}
			}
		}()
		began := time.Now()
		page, err := b.Retained(within(t, patience), event.RetainedQuery{Filters: []string{"a/#"}})
		took := time.Since(began)
		close(stop)
		<-stopped
		if err != nil || topicsOf(page) != `a/kept="x"` || took > patience/2 {
			t.Errorf("%s after %v, %v", topicsOf(page), took, err)
		}
	})
}

// Many messages are read page by page, and each of them once.
func TestRetainedMany(t *testing.T) {
	t.Parallel()
	eachKeeper(t, func(t *testing.T, server mqtttest.Broker, protocol string) {
		const count = 2500
		b, p := connected(t, server.URL(), mqttbroker.WithProtocol(protocol)), publisher(t, server.URL(), protocol)
		var wg sync.WaitGroup
		for i := range count {
			wg.Add(1)
			err := p.PublishAsync(within(t, patience), fmt.Sprintf("many/%d/%04d", i%7, i), bytes.Repeat([]byte("x"), 100), func(err error) {
				defer wg.Done()
				if err != nil {
					t.Error(err)
				}
			}, event.Retain(true))
			if err != nil {
				t.Fatal(err)
			}
		}
		wg.Wait()
		q, last, seen, pages := event.RetainedQuery{Filters: []string{"many/#"}, Limit: 1000}, "", 0, 0
		for {
			page, err := b.Retained(within(t, patience), q)
			if err != nil || page.Incomplete {
				t.Fatalf("incomplete %t, %v", page.Incomplete, err)
			}
			pages++
			for i := range page.Messages {
				if m := &page.Messages[i]; m.Topic <= last {
					t.Fatalf("%s comes behind %s", m.Topic, last)
				}
				last = page.Messages[i].Topic
			}
			seen += len(page.Messages)
			if q.After = page.Next; q.After == "" {
				break
			}
		}
		if seen != count || pages != 3 {
			t.Errorf("%d messages on %d pages, want %d on 3", seen, pages, count)
		}
	})
}

// What is wrong with a query is reported at once, and what does not end in time is incomplete.
func TestRetainedRefuses(t *testing.T) {
	t.Parallel()
	b := connected(t, mqtttest.InProcess(t).URL())
	many := make([]string, event.MaxRetained+1)
	for i := range many {
		many[i] = "a"
	}
	for name, q := range map[string]event.RetainedQuery{
		"no filter": {}, "a bad filter": {Filters: []string{"a/#/b"}}, "a shared filter": {Filters: []string{"$share/g/a"}},
		"many filters": {Filters: many}, "a limit": {Filters: []string{"a"}, Limit: 1001}, "bytes": {Filters: []string{"a"}, Bytes: -1},
		"time": {Filters: []string{"a"}, Within: -1},
	} {
		if _, err := b.Retained(within(t, patience), q); event.ReasonOf(err) != event.ReasonBadRequest {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := b.ClearRetained(within(t, patience), "a/#"); event.ReasonOf(err) != event.ReasonBadTopic {
		t.Errorf("%v", err)
	}
	idle := open(t, "mqtt://127.0.0.1:1")
	if err := idle.Init(); err != nil {
		t.Fatal(err)
	}
	if _, err := idle.Retained(within(t, patience), event.RetainedQuery{Filters: []string{"a"}}); event.ReasonOf(err) != event.ReasonNotConnected {
		t.Errorf("%v", err)
	}
	if err := idle.ClearRetained(within(t, patience), "a"); event.ReasonOf(err) != event.ReasonNotConnected {
		t.Errorf("%v", err)
	}
}

// A broker that forbids the message that ends a read makes it incomplete, not fail.
func TestRetainedWithoutAnEnd(t *testing.T) {
	t.Parallel()
	for _, protocol := range []string{"3.1.1", "5"} {
		server := mqtttest.Mosquitto(t, mqtttest.WithACL("topic readwrite a/#"))
		b := connected(t, server.URL(), mqttbroker.WithProtocol(protocol))
		publish(t, b, "a/kept", "x", mqttbroker.WithPublishRetained(true))
		page, err := b.Retained(within(t, patience), event.RetainedQuery{Filters: []string{"a/#"}, Within: time.Second})
		if err != nil || topicsOf(page) != `a/kept="x" incomplete` {
			t.Errorf("%s, %v", topicsOf(page), err)
		}
		if _, err = b.Retained(within(t, patience), event.RetainedQuery{Filters: []string{"a/none"}, Within: time.Second}); err == nil || !strings.Contains(err.Error(), "/end/read/") {
			t.Errorf("nothing came: %v", err)
		}
	}
}
