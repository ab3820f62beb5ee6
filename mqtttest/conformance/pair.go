package conformance

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tx7do/kratos-transport/broker"

	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
)

// pair is a connected publisher and subscriber, and a topic for them.
type pair struct {
	t        *testing.T
	c        *suite
	pub, sub broker.Broker
	topic    string
}

// within returns a context that ends when the patience is over.
func (p *pair) within() context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), p.c.patience)
	p.t.Cleanup(cancel)
	return ctx
}

// subscribe registers a handler.
func (p *pair) subscribe(filter string, h broker.Handler, opts ...broker.SubscribeOption) broker.Subscriber {
	p.t.Helper()
	s, err := p.sub.Subscribe(filter, h, nil, opts...)
	if err != nil {
		p.t.Fatalf("subscribe to %s: %v", filter, err)
	}
	if s == nil {
		p.t.Fatalf("subscribe to %s: neither a subscriber nor an error", filter)
	}
	return s
}

// publish sends bodies one after another; each must be accepted.
func (p *pair) publish(topic string, bodies []string, opts ...broker.PublishOption) {
	p.t.Helper()
	for _, body := range bodies {
		if err := p.pub.Publish(p.within(), topic, broker.NewMessage([]byte(body)), opts...); err != nil {
			p.t.Fatalf("publish %.40q: %v", body, err)
		}
	}
}

// got is a message as received by a handler.
type got struct {
	topic, body string
	headers     broker.Headers
}

// inbox collects the messages of a handler.
type inbox struct {
	mu   sync.Mutex
	list []got
}

func (i *inbox) handle(_ context.Context, e broker.Event) error {
	body, ok := e.Message().Body.([]byte)
	if !ok {
		return fmt.Errorf("body of type %T, want bytes", e.Message().Body)
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.list = append(i.list, got{e.Topic(), string(body), e.Message().HeadersCopy()})
	return nil
}

func (i *inbox) all() []got {
	i.mu.Lock()
	defer i.mu.Unlock()
	return slices.Clone(i.list)
}

func (i *inbox) bodies() (list []string) {
	for _, m := range i.all() {
		list = append(list, m.body)
	}
	return list
}

// expect waits for these messages, in this order, and fails on any other.
func (p *pair) expect(i *inbox, want []string) {
	p.t.Helper()
	p.eventually(func() error {
		if have := len(i.all()); have < len(want) {
			return fmt.Errorf("%d messages of %d", have, len(want))
		}
		return nil
	})
	have := i.bodies()
	for n, body := range have {
		if n >= len(want) || body != want[n] {
			p.t.Fatalf("message %d is %.40q, want %.80q", n, body, want[min(n, len(want)):])
		}
	}
}

func (p *pair) eventually(cond func() error) {
	p.t.Helper()
	mqtttest.Eventually(p.t, p.c.patience, cond)
}

// bodies returns n different payloads.
func bodies(prefix string, n int) []string {
	list := make([]string, n)
	for i := range list {
		list[i] = fmt.Sprintf("%s%05d", prefix, i)
	}
	return list
}

// failing wraps a handler: while on, it fails in the given way after counting the call.
type failing struct {
	on    atomic.Bool
	count atomic.Int64
	next  broker.Handler
	fail  func() error
}

func (f *failing) handle(ctx context.Context, e broker.Event) error {
	if f.on.Load() {
		f.count.Add(1)
		return f.fail()
	}
	return f.next(ctx, e)
}

// settle waits a moment for messages that must not arrive.
func (p *pair) settle() {
	t := time.NewTimer(50 * time.Millisecond)
	defer t.Stop()
	<-t.C
}
