package conformance

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tx7do/kratos-transport/broker"

	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
	mqttserver "github.com/kratos-mqtt/kratos-mqtt/transport/mqtt"
)

func TestRetained(t *testing.T) {
	t.Parallel()
	eachCell(t, func(t *testing.T, c cell) {
		p := publisher(t, c.broker.URL(), c.version)
		var live seen // a broker may acknowledge before it keeps and delivers
		first := server(t, c.broker.URL(), c.version, mqttserver.WithClientId(name(t)+"-first"))
		register(t, first, name(t), live.handle)
		run(t, first)
		for _, body := range []string{"old", "new"} {
			publishAll(t, p, name(t), [][]byte{[]byte(body)}, event.Retain(true))
		}
		live.wait(t, 2)
		var s seen
		srv := server(t, c.broker.URL(), c.version)
		register(t, srv, name(t), s.handle)
		run(t, srv)
		if m := s.wait(t, 1)[0]; string(m.body) != "new" || !m.retained {
			t.Fatalf("%q, retained %t", m.body, m.retained)
		}
		publishAll(t, p, name(t), [][]byte{[]byte("live")}, event.Retain(true))
		if m := s.wait(t, 2)[1]; string(m.body) != "live" || m.retained {
			t.Fatalf("%q, retained %t", m.body, m.retained)
		}
		publishAll(t, p, name(t), [][]byte{nil}, event.Retain(true)) // the broker forgets it
	})
}

// Messages that are published while the subscriber is stopped arrive when it starts.
func TestPersistentSession(t *testing.T) {
	t.Parallel()
	eachCell(t, func(t *testing.T, c cell) {
		const messages = 15
		var s seen
		subscriber := func() *mqttserver.Server {
			srv := server(t, c.broker.URL(), c.version)
			register(t, srv, name(t), s.handle, mqttbroker.WithSubscribeQos(c.granted(2)))
			run(t, srv)
			return srv
		}
		stop(t, subscriber())
		p := publisher(t, c.broker.URL(), c.version)
		bodies := numbered(messages)
		publishAll(t, p, name(t), bodies, event.QoS(2))
		if n := len(s.all()); n != 0 {
			t.Fatalf("%d messages while stopped", n)
		}
		srv := subscriber()
		for i, m := range s.wait(t, messages) {
			if !bytes.Equal(m.body, bodies[i]) || m.qos != c.granted(2) {
				t.Fatalf("message %d is %q at QoS %d", i, m.body, m.qos)
			}
		}
		stop(t, srv)
		subscriber() // everything was acknowledged
		publishAll(t, p, name(t), [][]byte{[]byte("last")})
		if all := s.wait(t, messages+1); string(all[messages].body) != "last" {
			t.Fatalf("delivered again: %q", all[messages].body)
		}
	})
}

func TestWildcards(t *testing.T) {
	t.Parallel()
	eachCell(t, func(t *testing.T, c cell) {
		root := name(t)
		filters := map[string][]string{ // filters and their matching topics
			root + "/+/temperature": {"/a/temperature", "/b/temperature"},
			root + "/a/#":           {"/a", "/a/temperature", "/a/x/y"},
			root + "/b/exact":       {"/b/exact"},
		}
		s := make(map[string]*seen)
		for filter := range filters {
			s[filter] = new(seen)
			// One server for each filter: overlapping filters of one client have their
			// own test.
			srv := server(t, c.broker.URL(), c.version, mqttserver.WithClientId(fmt.Sprint(root, len(s))))
			register(t, srv, filter, s[filter].handle)
			run(t, srv)
		}
		p := publisher(t, c.broker.URL(), c.version)
		for _, topic := range []string{"/a", "/a/temperature", "/b/temperature", "/a/x/y", "/b/exact", "/c/no", "/b/exact/no"} {
			publishAll(t, p, root+topic, [][]byte{[]byte(topic)})
		}
		for filter, topics := range filters {
			for i, m := range s[filter].wait(t, len(topics)) {
				if i >= len(topics) || m.topic != root+string(m.body) {
					t.Fatalf("%q took %q", filter, m.topic)
				}
			}
		}
	})
}

// Each handler runs once for a message, however many filters of the client match it. On
// MQTT 3.1.1 the copies of a message cannot be distinguished.
func TestOverlappingFilters(t *testing.T) {
	t.Parallel()
	eachCell(t, func(t *testing.T, c cell) {
		if !c.five() {
			return
		}
		const messages = 20
		root := name(t)
		filters := []string{root + "/a", root + "/+", root + "/#", root + "/a/#"}
		s := make([]seen, len(filters))
		srv := server(t, c.broker.URL(), c.version)
		for i, f := range filters {
			register(t, srv, f, s[i].handle, mqttbroker.WithSubscribeQos(2))
		}
		run(t, srv)
		publishAll(t, publisher(t, c.broker.URL(), c.version), root+"/a", numbered(messages), event.QoS(2))
		for i := range s {
			s[i].wait(t, messages)
		}
		stop(t, srv)
		for i := range s {
			for n, m := range s[i].all() {
				if string(m.body) != fmt.Sprintf("%010d", n) {
					t.Fatalf("%q got %q at %d", filters[i], m.body, n)
				}
			}
			if n := len(s[i].all()); n != messages {
				t.Fatalf("%q got %d messages", filters[i], n)
			}
		}
	})
}

func TestSharedGroup(t *testing.T) {
	t.Parallel()
	eachCell(t, func(t *testing.T, c cell) {
		if !c.broker.Features().SharedSubscriptions {
			return // see TestSharedGroupIsRefusedByPreset
		}
		const messages, members = 60, 3
		s := make([]seen, members)
		for i := range s {
			srv := server(t, c.broker.URL(), c.version, mqttserver.WithClientId(fmt.Sprint(name(t), i)))
			register(t, srv, name(t), s[i].handle, broker.WithSubscribeQueueName("group"))
			run(t, srv)
		}
		publishAll(t, publisher(t, c.broker.URL(), c.version), name(t), numbered(messages))
		total := func() (n int) {
			for i := range s {
				n += len(s[i].all())
			}
			return n
		}
		mqtttest.Eventually(t, patience, func() bool { return total() >= messages })
		bodies := make(map[string]bool)
		for i := range s {
			all := s[i].all()
			if len(all) == 0 {
				t.Errorf("member %d got nothing", i)
			}
			for _, m := range all {
				bodies[string(m.body)] = true
			}
		}
		if total() != messages || len(bodies) != messages {
			t.Fatalf("%d deliveries of %d messages, want %d", total(), len(bodies), messages)
		}
	})
}

func TestSharedGroupIsRefusedByPreset(t *testing.T) {
	t.Parallel()
	srv := server(t, rabbit.Broker(t).URL(), "", mqttserver.WithBrokerOptions(mqttbroker.WithPreset("rabbitmq")))
	err := srv.RegisterSubscriber(within(t), name(t), new(seen).handle, nil, broker.WithSubscribeQueueName("group"))
	wantReason(t, err, event.ReasonUnsupported)
}

func wantReason(t testing.TB, err error, reason event.Reason) {
	t.Helper()
	var e *event.Error
	if !errors.As(err, &e) || e.Reason != reason {
		t.Fatalf("got %v, want %v", err, reason)
	}
}

// RabbitMQ supports 3.1.1 only and closes the connection on a CONNECT of 5. If 5 is configured, that is
// an error; auto detects it within the first attempt, also with fail-fast.
func TestVersionThatTheBrokerDoesNotSpeak(t *testing.T) {
	t.Parallel()
	url := rabbit.Broker(t).URL()
	for _, version := range []string{"5", "auto"} {
		t.Run(version, func(t *testing.T) {
			awaitPort(t, url) // its listener is away for a moment occasionally under load
			srv := server(t, url, version, mqttserver.WithBrokerOptions(mqttbroker.WithFailFast(true)))
			register(t, srv, name(t), new(seen).handle)
			err := srv.Start(within(t))
			defer stop(t, srv)
			if version == "5" {
				wantReason(t, err, event.ReasonNetwork) // the broker closes the connection without a reason
			} else if err != nil {
				t.Fatal(err)
			}
		})
	}
}

// A handler that returns an error or panics does not block later messages: its message becomes a dead
// letter and is acknowledged.
func TestV3_FailingHandlersAreDeadLettered(t *testing.T) {
	t.Parallel()
	eachCell(t, func(t *testing.T, c cell) {
		var letters, s seen
		watch := server(t, c.broker.URL(), c.version, mqttserver.WithClientId(name(t)+"-watch"))
		register(t, watch, "dead-letter/"+name(t)+"/+/+", letters.handle)
		run(t, watch)
		srv := server(t, c.broker.URL(), c.version, mqttserver.WithBrokerOptions(mqttbroker.WithServiceName(name(t))))
		register(t, srv, name(t), func(ctx context.Context, e broker.Event) error {
			if string(e.Message().Body.([]byte)) == "bad" {
				panic("cannot be handled")
			}
			return s.handle(ctx, e)
		}, broker.WithSubscribeRetry(1, 0))
		run(t, srv)
		p := publisher(t, c.broker.URL(), c.version)
		publishAll(t, p, name(t), [][]byte{[]byte("bad"), []byte("good")})
		if m := s.wait(t, 1)[0]; string(m.body) != "good" {
			t.Fatalf("%q", m.body)
		}
		letters.wait(t, 1)
		stop(t, srv)
		run(t, srv) // it was acknowledged: not delivered again
		publishAll(t, p, name(t), [][]byte{[]byte("last")})
		s.wait(t, 2)
		if n := len(letters.all()); n != 1 {
			t.Fatalf("%d dead letters", n)
		}
	})
}

// Any number of handlers may publish and wait for the acknowledgement.
func TestV8_HandlersPublishAndWait(t *testing.T) {
	t.Parallel()
	eachCell(t, func(t *testing.T, c cell) {
		const messages = 50
		var s seen
		var failed atomic.Pointer[error]
		srv := server(t, c.broker.URL(), c.version)
		register(t, srv, name(t)+"/in/+", func(ctx context.Context, e broker.Event) error {
			err := srv.Publish(ctx, name(t)+"/out", broker.NewMessage(e.Message().Body))
			if err != nil {
				failed.Store(&err)
			}
			return err
		})
		register(t, srv, name(t)+"/out", s.handle)
		run(t, srv)
		p := publisher(t, c.broker.URL(), c.version)
		for i, b := range numbered(messages) {
			publishAll(t, p, fmt.Sprint(name(t), "/in/", i%8), [][]byte{b})
		}
		s.wait(t, messages)
		if err := failed.Load(); err != nil {
			t.Fatal(*err)
		}
	})
}

func awaitPort(t testing.TB, address string) {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	mqtttest.Eventually(t, patience, func() error {
		c, err := net.DialTimeout("tcp", u.Host, time.Second)
		if err == nil {
			err = c.Close()
		}
		return err
	})
}
