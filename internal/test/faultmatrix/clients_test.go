package faultmatrix_test

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/go-kratos/kratos/v2/log"
	"github.com/tx7do/kratos-transport/broker"

	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
	mqttserver "github.com/kratos-mqtt/kratos-mqtt/transport/mqtt"
)

// settings returns the options of every client: short times and planted secrets;
// everything that the client reports is recorded.
func (h *harness) settings(id string, s *spy, opts []broker.Option) []broker.Option {
	return append([]broker.Option{
		mqttbroker.WithProtocol(h.version), mqttbroker.WithClientId(h.name + id),
		mqttbroker.WithAuth(planted.user, planted.password),
		mqttbroker.WithWill(h.name+"/will", []byte(planted.will), 1, false),
		mqttbroker.WithWebSocketHeader(planted.websocketHeader()),
		mqttbroker.WithConnectRetryInterval(5 * time.Millisecond),
		mqttbroker.WithMaxReconnectInterval(100 * time.Millisecond),
		mqttbroker.WithKratosLogger(log.NewStdLogger(&h.said)),
		mqttbroker.WithHooks(s),
	}, opts...)
}

// publisher is a publisher under test.
type publisher struct {
	*spy
	h *harness
	p *mqttbroker.Publisher
}

// newPublisher returns a publisher that is closed at the end of the row.
func (h *harness) newPublisher(url, id string, opts ...broker.Option) *publisher {
	h.Helper()
	s := &spy{said: &h.said}
	address := strings.Replace(url, "://", "://"+planted.user+":"+strings.ReplaceAll(strings.ReplaceAll(planted.password, "/", "%2F"), "?", "%3F")+"@", 1)
	p, err := mqttbroker.NewPublisher(h.settings(id, s, append([]broker.Option{broker.WithAddress(address)}, opts...))...)
	if h.said.err(err) != nil {
		h.Fatal(err)
	}
	h.said.value(p)
	out := &publisher{s, h, p}
	h.Cleanup(func() {
		if err := out.close(patience); err != nil {
			h.Errorf("close: %v", err)
		}
	})
	return out
}

// publisher returns a connected publisher.
func (h *harness) publisher(url, id string, opts ...broker.Option) *publisher {
	h.Helper()
	p := h.newPublisher(url, id, opts...)
	if err := p.connect(); err != nil {
		h.Fatalf("connect: %v", err)
	}
	return p
}

func (p *publisher) connect() error { return p.h.said.err(p.p.Start(p.h.within(patience))) }

// close bounds the drain by d, also after the end of the row.
func (p *publisher) close(d time.Duration) error {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	defer cancel()
	return p.h.said.err(p.p.Stop(ctx))
}

func (p *publisher) publish(ctx context.Context, topic, id string, opts ...event.CallOption) error {
	return p.h.said.err(p.p.Publish(ctx, topic, []byte(id), opts...))
}

func (p *publisher) send(ctx context.Context, topic string, payload []byte, done func(error), opts ...event.CallOption) error {
	return p.h.said.err(p.p.PublishAsync(ctx, topic, payload, func(err error) { done(p.h.said.err(err)) }, opts...))
}

func (p *publisher) health() event.Health { return p.h.healthOf(p.p) }

// must publishes messages that must be accepted.
func (p *publisher) must(topic string, ids ...string) {
	p.h.Helper()
	for _, id := range ids {
		p.h.rec.Attempted(id)
		if err := p.publish(p.h.within(patience), topic, id); err != nil {
			p.h.Fatalf("publish %s: %v", id, err)
		}
		p.h.rec.Accepted(id)
	}
}

// subscriber is a subscriber under test.
type subscriber struct {
	*spy
	h *harness
	s *mqttserver.Server
}

// newSubscriber returns a subscriber that is stopped at the end of the row.
func (h *harness) newSubscriber(url, id string, opts ...broker.Option) *subscriber {
	h.Helper()
	return h.newServer(url, id, nil, opts...)
}

// newServer is newSubscriber with options that only the server has.
func (h *harness) newServer(url, id string, more []mqttserver.ServerOption, opts ...broker.Option) *subscriber {
	h.Helper()
	s := &spy{said: &h.said}
	srv := mqttserver.NewServer(append([]mqttserver.ServerOption{
		mqttserver.WithAddress([]string{url}), mqttserver.WithCodec(""),
		mqttserver.WithBrokerOptions(h.settings(id, s, opts)...),
	}, more...)...)
	h.said.value(srv)
	out := &subscriber{s, h, srv}
	h.Cleanup(func() {
		if err := out.stop(patience); err != nil {
			h.Errorf("stop: %v", err)
		}
	})
	return out
}

// handlerFunc handles a message of a row.
type handlerFunc func(ctx context.Context, topic, payload string) error

func (s *subscriber) subscribe(filter string, f handlerFunc, opts ...broker.SubscribeOption) {
	s.h.Helper()
	err := s.s.RegisterSubscriber(s.h.Context(), filter, func(ctx context.Context, e broker.Event) error {
		return f(ctx, e.Topic(), string(e.Message().Body.([]byte)))
	}, nil, opts...)
	if s.h.said.err(err) != nil {
		s.h.Fatalf("subscribe to %q: %v", filter, err)
	}
}

// record records the id at the end of each message.
func (s *subscriber) record(filter string, opts ...broker.SubscribeOption) {
	s.h.Helper()
	s.subscribe(filter, func(_ context.Context, _, payload string) error {
		s.h.rec.Handled(idOf([]byte(payload)))
		return nil
	}, opts...)
}

func (s *subscriber) start() error { return s.h.said.err(s.s.Start(s.h.within(patience))) }

// run starts the subscriber and waits until every filter is granted.
func (s *subscriber) run() {
	s.h.Helper()
	if err := s.start(); err != nil {
		s.h.Fatalf("start: %v", err)
	}
	s.ready()
}

func (s *subscriber) ready() {
	s.h.Helper()
	if err := s.h.said.err(s.s.WaitReady(s.h.within(patience))); err != nil {
		s.h.Fatalf("not ready: %v", err)
	}
}

func (s *subscriber) stop(d time.Duration) error {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	defer cancel()
	return s.h.said.err(s.s.Stop(ctx))
}

func (s *subscriber) health() event.Health { return s.h.healthOf(s.s) }

// subscriber returns a running subscriber that records the messages of a filter.
func (h *harness) subscriber(url, id, filter string, opts ...broker.Option) *subscriber {
	h.Helper()
	s := h.newSubscriber(url, id, opts...)
	s.record(filter)
	s.run()
	return s
}

func (h *harness) healthOf(c interface{ Health() event.Health }) event.Health {
	health := c.Health()
	if health.LastError != nil {
		h.said.value(health)
		_ = h.said.err(health.LastError)
	}
	return health
}

// newBroker returns a broker of kratos-transport's form; it is never connected, only
// printed.
func (h *harness) newBroker(opts ...broker.Option) broker.Broker {
	return mqttbroker.NewBroker(h.settings("", &spy{said: &h.said}, opts)...)
}

// idLength is the length of all ids, so that a payload can end with one: on MQTT 5 a
// witness sees properties in front of the payload.
const idLength = 12

// id returns the id of the n-th message.
func id(n int) string { return fmt.Sprintf("id-%09d", n) }

func idOf(payload []byte) string { return string(payload[max(0, len(payload)-idLength):]) }

// ids returns n ids, starting with first.
func ids(first, n int) []string {
	list := make([]string, n)
	for i := range list {
		list[i] = id(first + i)
	}
	return list
}

// settled waits until no accepted message is missing, and returns the report.
func (h *harness) settled() mqtttest.Report {
	h.Helper()
	h.eventually(func() error { return h.rec.Report().Err() })
	rep := h.rec.Report()
	h.Log(rep)
	return rep
}
