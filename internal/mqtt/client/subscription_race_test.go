package client

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"github.com/kratos-mqtt/kratos-mqtt/event/deadletter"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/session"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest/broker"
)

// heldStore blocks its readers.
type heldStore struct {
	deadletter.Store
	asked chan struct{}
	gate  chan struct{}
}

func (s *heldStore) List(ctx context.Context, q deadletter.Query) ([]*deadletter.Letter, error) {
	if q.Filter == "held" {
		s.asked <- struct{}{}
		<-s.gate
	}
	return s.Store.List(ctx, q)
}

// levels are the QoS that a broker granted last, by filter.
type levels struct {
	mu  sync.Mutex
	all map[string]byte
}

func speaking(v session.Protocol) option { return func(c *Config) { c.Protocol = v } }

// watch follows the SUBSCRIBE and UNSUBSCRIBE packets of a broker that grants everything.
func watch(b *mqtttest.InProcessBroker) *levels {
	l := &levels{all: make(map[string]byte)}
	b.Observe(func(o broker.Observed) {
		l.mu.Lock()
		defer l.mu.Unlock()
		switch {
		case o.Direction != broker.ToBroker:
		case o.Type() == broker.Subscribe:
			body := o.Body[2:]
			if o.Version == 5 {
				body = body[1+int(body[0]):] // properties
			}
			for len(body) > 2 {
				n := 2 + int(body[0])<<8 + int(body[1])
				l.all[string(body[2:n])], body = body[n]&3, body[n+1:]
			}
		case o.Type() == broker.Unsubscribe:
			for _, f := range o.Filters() {
				delete(l.all, f)
			}
		}
	})
	return l
}

func (l *levels) of(filter string) (qos byte, there bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	qos, there = l.all[filter]
	return qos, there
}

// The requested QoS of a filter changes when a handler is registered, not when its
// goroutine sends the request: an outdated request that is sent last would leave a lower
// QoS at the broker.
func TestStaleWishIsNotSentLast(t *testing.T) {
	t.Parallel()
	b := mqtttest.InProcess(t)
	store := &heldStore{deadletter.NewMemory(0), make(chan struct{}), make(chan struct{})}
	l := watch(b)
	c := running(t, client(t, b.URL(), keepIn(store)), on("other", idle))
	slow := make(chan error)
	go func() {
		_, err := c.Subscribe(within(t, patience), &Subscription{Filter: "held", QoS: 1, Handler: idle})
		slow <- err
	}()
	<-store.asked // registered; its parked messages are being read
	if _, err := c.Subscribe(within(t, patience), &Subscription{Filter: "held", QoS: 2, Handler: idle, ManualAck: true}); err != nil {
		t.Fatal(err)
	}
	close(store.gate)
	if err := <-slow; err != nil {
		t.Fatal(err)
	}
	if qos, there := l.of("held"); !there || qos != 2 {
		t.Errorf("at the broker: %t, QoS %d, want 2", there, qos)
	}
}

// While handlers are registered and unregistered concurrently, the broker must end up
// with exactly the registered filters, at the highest QoS of each.
func TestRacingSubscribersLeaveWhatIsRegistered(t *testing.T) {
	t.Parallel()
	for _, v := range []session.Protocol{Version31, Version5} {
		t.Run(fmt.Sprint(v), func(t *testing.T) {
			t.Parallel()
			const workers, rounds, filters = 8, 60, 3
			b := mqtttest.InProcess(t)
			l := watch(b)
			c := running(t, client(t, b.URL(), speaking(v)), on("other", idle))
			var (
				wg   sync.WaitGroup
				mu   sync.Mutex
				kept []*Subscription
			)
			for w := range workers {
				random := rand.New(rand.NewPCG(uint64(w), 9))
				wg.Go(func() {
					for round := range rounds {
						s := &Subscription{Filter: fmt.Sprintf("race/%d", random.IntN(filters)), QoS: byte(random.IntN(3)), Handler: idle}
						if _, err := c.Subscribe(within(t, patience), s); err != nil {
							t.Errorf("subscribe: %v", err)
							return
						}
						if round == rounds-1 && w%2 == 0 {
							mu.Lock()
							kept = append(kept, s)
							mu.Unlock()
							return
						}
						if err := c.Unsubscribe(within(t, patience), s); err != nil {
							t.Errorf("unsubscribe: %v", err)
							return
						}
					}
				})
			}
			wg.Wait()
			if err := c.WaitReady(within(t, patience)); err != nil {
				t.Fatal(err)
			}
			want := map[string]byte{}
			for _, s := range kept {
				want[s.Filter] = max(want[s.Filter], s.QoS)
			}
			mqtttest.Eventually(t, patience, func() error {
				for n := range filters {
					f := fmt.Sprintf("race/%d", n)
					qos, there := l.of(f)
					level, wanted := want[f]
					// On MQTT 3.1.1 another SUBSCRIBE would cause retained messages to be
					// sent again.
					if there != wanted || qos < level || v == Version5 && qos != level {
						return fmt.Errorf("%s: %t at QoS %d, want %t at %d", f, there, qos, wanted, level)
					}
				}
				return nil
			})
			sessions := b.Sessions()
			if i := slices.IndexFunc(sessions, func(s broker.Session) bool { return s.ClientID == c.cfg.ClientID }); len(sessions[i].Filters) != 1+len(want) {
				t.Errorf("the broker has %q, want %v", sessions[i].Filters, want)
			}
		})
	}
}
