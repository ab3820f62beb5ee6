package roundtrip

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/go-kratos/kratos/v2/middleware"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	v1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/v1"
	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/tools/internal/golden/cases/plant"
	mqttserver "github.com/kratos-mqtt/kratos-mqtt/transport/mqtt"
)

// rows records what was handled, in order.
type rows struct {
	mu    sync.Mutex
	sizes []int
	done  []string
	fail  func(in []*plant.Reading) error
}

func (r *rows) store(_ context.Context, in []*plant.Reading) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sizes = append(r.sizes, len(in))
	var err error
	if r.fail != nil {
		err = r.fail(in)
	}
	if items, ok := errors.AsType[event.ItemErrors](err); ok {
		for i, in := range in {
			if items[i] == nil {
				r.done = append(r.done, in.GetId())
			}
		}
	} else if err == nil {
		for _, in := range in {
			r.done = append(r.done, in.GetId())
		}
	}
	return err
}

func (r *rows) handled() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.done)
}

func send(t testing.TB, client plant.PlantEventsMQTTClient, lot string, n int, opts ...event.CallOption) (ids []string) {
	t.Helper()
	for i := range n {
		ids = append(ids, fmt.Sprintf("%s%d", lot, i))
		must(t, client.Stored(within(t), &plant.Reading{Id: ids[i], Device: "d", Lot: lot}, opts...))
	}
	return ids
}

func of(lot string, ids []string) (own []string) {
	for _, id := range ids {
		if id[:1] == lot {
			own = append(own, id)
		}
	}
	return own
}

// batches starts a server with a handler of batches.
func batches(t testing.TB, p *place, r *rows, opts ...event.BatchOption) plant.PlantEventsMQTTClient {
	t.Helper()
	srv, _ := p.server(t)
	plant.RegisterPlantEventsMQTTServer(srv, &service{}, event.Only("Stored"), plant.PlantEvents_Stored_MQTT_Batch(r.store, opts...))
	start(t, srv)
	client, _ := p.client(t)
	return client
}

func TestBatchSizeAndWindow(t *testing.T) {
	t.Parallel()
	places(t, func(t *testing.T, p *place) {
		r := new(rows)
		// No test waits that long: only the size ends a batch.
		client := batches(t, p, r, event.BatchWait(time.Hour))
		ids := send(t, client, "a", 10)
		eventually(t, "two batches", func() bool { return len(r.handled()) == 10 })
		if !slices.Equal(r.handled(), ids) || !slices.Equal(r.sizes, []int{5, 5}) {
			t.Errorf("handled %v in batches of %v", r.handled(), r.sizes)
		}
	})
	places(t, func(t *testing.T, p *place) {
		r := new(rows)
		client := batches(t, p, r, event.BatchSize(1000), event.BatchWait(10*time.Millisecond))
		ids := send(t, client, "a", 7)
		eventually(t, "the window", func() bool { return slices.Equal(r.handled(), ids) })
	})
}

func TestBatchItemErrors(t *testing.T) {
	t.Parallel()
	places(t, func(t *testing.T, p *place) {
		failed := make(map[string]int)
		r := &rows{fail: func(in []*plant.Reading) error {
			errs := make(event.ItemErrors, len(in))
			bad := make(map[string]bool) // a batch is in order: everything after a failure fails as well
			for i, in := range in {
				if bad[in.GetLot()] || in.GetId() == "a1" && failed["a1"] < 2 {
					failed[in.GetId()]++
					bad[in.GetLot()], errs[i] = true, errors.New("not now")
				}
			}
			return errs
		}}
		client := batches(t, p, r)
		var want []string
		for i := range 20 {
			lot := "ab"[i%2 : i%2+1]
			id := fmt.Sprintf("%s%d", lot, i/2)
			want = append(want, id)
			must(t, client.Stored(within(t), &plant.Reading{Id: id, Device: "d", Lot: lot}))
		}
		eventually(t, "all", func() bool { return len(r.handled()) >= len(want) })
		for _, lot := range []string{"a", "b"} {
			if got := of(lot, r.handled()); !slices.Equal(got, of(lot, want)) {
				t.Errorf("lot %s in the order %v", lot, got)
			}
		}
	})
}

func TestBatchFailsAsAWhole(t *testing.T) {
	t.Parallel()
	for name, fail := range map[string]func(){
		"error": nil, "panic": func() { panic("no") }, "goexit": runtime.Goexit,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			places(t, func(t *testing.T, p *place) {
				once := true
				r := &rows{fail: func(in []*plant.Reading) error {
					if len(in) > 1 && once {
						once = false
						if fail != nil {
							fail()
						}
						return errors.New("no")
					}
					return nil
				}}
				client := batches(t, p, r, event.BatchWait(time.Hour))
				ids := send(t, client, "a", 10)
				eventually(t, "all", func() bool { return len(r.handled()) >= 10 })
				if !slices.Equal(r.handled(), ids) {
					t.Errorf("handled %v", r.handled())
				}
			})
		})
	}
}

// Messages that become dead letters do not delay the others.
func TestBatchDeadLetters(t *testing.T) {
	t.Parallel()
	places(t, func(t *testing.T, p *place) {
		r := &rows{fail: func(in []*plant.Reading) error {
			errs := make(event.ItemErrors, len(in))
			for i, in := range in {
				if in.GetLot() == "x" {
					errs[i] = event.Permanent(errors.New("never"))
				}
			}
			return errs
		}}
		srv, _ := p.server(t)
		plant.RegisterPlantEventsMQTTServer(srv, &service{}, event.Only("Stored"), plant.PlantEvents_Stored_MQTT_Batch(r.store))
		start(t, srv)
		client, b := p.client(t)
		must(t, b.Publish(within(t), "plant/stored/d", []byte{0xff}))
		send(t, client, "x", 1)
		ids := send(t, client, "a", 3)
		store, err := srv.DeadLetters()
		must(t, err)
		eventually(t, "two letters", func() bool {
			stats, err := store.Stats(t.Context())
			return err == nil && stats.Dead == 2 && slices.Equal(r.handled(), ids)
		})
	})
}

// A batch that takes too long is retried one message at a time, and each attempt has its
// own Transport and context.
func TestBatchDeadline(t *testing.T) {
	t.Parallel()
	places(t, func(t *testing.T, p *place) {
		const operation = "/golden.plant.PlantEvents/Stored"
		var calls []int
		done := make(chan int, 10)
		handler := func(ctx context.Context, in []*plant.Reading) error {
			tr, ok := mqttserver.FromContext(ctx)
			if !ok || tr.Operation() != operation {
				return errors.New("no transport")
			}
			if calls = append(calls, tr.Attempt()); len(calls) == 1 {
				<-ctx.Done()
				return ctx.Err()
			}
			for range in {
				done <- tr.Attempt()
			}
			return nil
		}
		var requests []int
		srv, _ := p.server(t,
			mqttserver.WithBrokerOptions(mqttbroker.WithSubscriberConfig(&v1.Subscriber{Subscriptions: map[string]*v1.Subscription{
				operation: {HandlerTimeout: durationpb.New(20 * time.Millisecond)},
			}})),
			mqttserver.Middleware(func(next middleware.Handler) middleware.Handler {
				return func(ctx context.Context, req any) (any, error) {
					requests = append(requests, len(req.([]proto.Message)))
					return next(ctx, req)
				}
			}))
		plant.RegisterPlantEventsMQTTServer(srv, &service{}, event.Only("Stored"),
			plant.PlantEvents_Stored_MQTT_Batch(handler, event.BatchSize(2), event.BatchWait(time.Hour)))
		start(t, srv)
		client, _ := p.client(t)
		send(t, client, "a", 2)
		if a, b := receive(t, done), receive(t, done); a != 2 || b != 2 {
			t.Errorf("attempts %d and %d", a, b)
		}
		if !slices.Equal(requests, []int{2, 1, 1}) {
			t.Errorf("middleware saw requests of %v", requests)
		}
	})
}

// If a batch could become larger than the queue, it does not wait for messages that find
// no room: it is handled as it is.
func TestBatchBound(t *testing.T) {
	t.Parallel()
	places(t, func(t *testing.T, p *place) {
		r := new(rows)
		srv, _ := p.server(t, mqttserver.WithBrokerOptions(mqttbroker.WithSubscriberConfig(&v1.Subscriber{Queue: 3, Concurrency: 1})))
		plant.RegisterPlantEventsMQTTServer(srv, &service{}, event.Only("Stored"),
			plant.PlantEvents_Stored_MQTT_Batch(r.store, event.BatchSize(1000), event.BatchWait(time.Hour)))
		start(t, srv)
		client, _ := p.client(t)
		send(t, client, "a", 5)
		eventually(t, "a batch of what there is room for", func() bool { return len(r.handled()) == 3 })
		eventually(t, "the others", func() bool { return srv.Health().Queued == 2 })
		// At QoS 0 a sender may use only its share of the queue.
		send(t, client, "b", 5, event.QoS(0))
		eventually(t, "all but the last", func() bool {
			h := srv.Health()
			return len(r.handled())+h.Queued == 10 && h.Queued <= 1 && h.QueueFull == 0
		})
	})
}

// Stop handles messages that wait for their batch.
func TestBatchDrain(t *testing.T) {
	t.Parallel()
	places(t, func(t *testing.T, p *place) {
		once := true
		r := &rows{fail: func([]*plant.Reading) error {
			if once {
				once = false
				return errors.New("no")
			}
			return nil
		}}
		srv, _ := p.server(t)
		plant.RegisterPlantEventsMQTTServer(srv, &service{}, event.Only("Stored"),
			plant.PlantEvents_Stored_MQTT_Batch(r.store, event.BatchWait(time.Hour)))
		start(t, srv)
		client, _ := p.client(t)
		ids := send(t, client, "a", 3)
		eventually(t, "arrived", func() bool { return srv.Health().Queued == 3 })
		must(t, srv.Stop(within(t)))
		if !slices.Equal(r.handled(), ids) {
			t.Errorf("handled %v", r.handled())
		}
	})
}

// While a message is parked, later messages of its key wait for it there.
func TestBatchOrderBehindParked(t *testing.T) {
	t.Parallel()
	places(t, func(t *testing.T, p *place) {
		broken, refused := true, 0
		r := &rows{}
		r.fail = func(in []*plant.Reading) error {
			errs := make(event.ItemErrors, len(in))
			for i, in := range in {
				if in.GetLot() == "a" && broken {
					refused++
					errs[i] = errors.New("not now")
				}
			}
			return errs
		}
		srv, _ := p.server(t, mqttserver.WithBrokerOptions(mqttbroker.WithSubscriberConfig(&v1.Subscriber{Subscriptions: map[string]*v1.Subscription{
			"/golden.plant.PlantEvents/Stored": {Exhausted: "park", ParkMaxAttempts: proto.Uint32(0)},
		}})))
		plant.RegisterPlantEventsMQTTServer(srv, &service{}, event.Only("Stored"), plant.PlantEvents_Stored_MQTT_Batch(r.store))
		start(t, srv)
		client, _ := p.client(t)
		ids := send(t, client, "a", 4)
		others := send(t, client, "b", 4)
		eventually(t, "the others", func() bool { return slices.Equal(r.handled(), others) })
		eventually(t, "attempts", func() bool {
			r.mu.Lock()
			defer r.mu.Unlock()
			return refused > 5
		})
		r.mu.Lock()
		broken = false
		r.mu.Unlock()
		ids = append(ids, send(t, client, "a", 6)...)
		eventually(t, "all", func() bool { return len(of("a", r.handled())) >= 10 })
		if got := of("a", r.handled()); !slices.Equal(got, ids) {
			t.Errorf("handled %v", got)
		}
	})
}
