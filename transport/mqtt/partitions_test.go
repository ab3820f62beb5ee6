package mqtt_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/go-kratos/kratos/v2"
	"github.com/go-kratos/kratos/v2/registry"
	"github.com/tx7do/kratos-transport/broker"
	"google.golang.org/protobuf/types/known/durationpb"

	v1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/v1"
	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
	mqttserver "github.com/kratos-mqtt/kratos-mqtt/transport/mqtt"
)

// instances is a service registry in memory.
type instances struct {
	mu      sync.Mutex
	all     []*registry.ServiceInstance
	changed chan struct{}
}

func (r *instances) change(f func(all []*registry.ServiceInstance) []*registry.ServiceInstance) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.all = f(slices.Clone(r.all))
	close(r.changed)
	r.changed = make(chan struct{})
}

func (r *instances) Register(_ context.Context, s *registry.ServiceInstance) error {
	r.change(func(all []*registry.ServiceInstance) []*registry.ServiceInstance { return append(all, s) })
	return nil
}

func (r *instances) Deregister(_ context.Context, s *registry.ServiceInstance) error {
	r.change(func(all []*registry.ServiceInstance) []*registry.ServiceInstance {
		return slices.DeleteFunc(all, func(x *registry.ServiceInstance) bool { return x.ID == s.ID })
	})
	return nil
}

func (r *instances) GetService(context.Context, string) ([]*registry.ServiceInstance, error) {
	return nil, nil
}

func (r *instances) Watch(ctx context.Context, _ string) (registry.Watcher, error) {
	return &watcher{of: r, ctx: ctx}, nil
}

type watcher struct {
	of   *instances
	ctx  context.Context
	last <-chan struct{}
}

func (w *watcher) Next() ([]*registry.ServiceInstance, error) {
	if w.last != nil {
		select {
		case <-w.last:
		case <-w.ctx.Done():
			return nil, w.ctx.Err()
		}
	}
	w.of.mu.Lock()
	defer w.of.mu.Unlock()
	w.last = w.of.changed
	return w.of.all, nil
}

func (w *watcher) Stop() error { return nil }

// Kratos applications share partitions by their registry: those of one that stops go to the
// others.
func TestPartitionsByTheRegistry(t *testing.T) {
	t.Parallel()
	const count = 16
	m, all := mqtttest.InProcess(t), &instances{changed: make(chan struct{})}
	c := &v1.Connection{Addresses: []string{m.URL()}, Partitions: &v1.Partitions{Count: count, Handover: durationpb.New(100 * time.Millisecond)}}
	got := make(chan string, 1000)
	run := func(id string) (*mqttserver.Server, func()) {
		srv, _ := server(t, m.URL(), mqttserver.WithBrokerOptions(mqttbroker.WithConnectionConfig(c), mqttbroker.WithPartitionRegistry(all)))
		register(t, srv, "jobs/{partition}/do", into(got))
		app := kratos.New(kratos.ID(id), kratos.Name("shop"), kratos.Registrar(all), kratos.Server(srv), kratos.Signal(syscall.SIGQUIT))
		ended := make(chan error, 1)
		go func() { ended <- app.Run() }()
		return srv, sync.OnceFunc(func() {
			if err := app.Stop(); err != nil {
				t.Error(err)
			}
			if err := <-ended; err != nil {
				t.Error(err)
			}
		})
	}
	owned := func(srv *mqttserver.Server) (n int) {
		for _, p := range srv.Health().Partitions {
			if p.State == event.PartitionOwned {
				n++
			}
		}
		return n
	}
	first, stopFirst := run("a")
	defer stopFirst()
	mqtttest.Eventually(t, patience, func() bool { return owned(first) == count })
	second, stopSecond := run("b")
	defer stopSecond()
	mqtttest.Eventually(t, patience, func() error {
		if a, b := owned(first), owned(second); a == 0 || b == 0 || a+b != count {
			return fmt.Errorf("%d and %d of %d", a, b, count)
		}
		return nil
	})
	source := mqttbroker.NewBroker(mqttbroker.WithConnectionConfig(c), broker.WithCodec("json"))
	if err := source.Connect(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = source.Disconnect() }()
	for i := range 100 {
		opt := mqttbroker.WithCallOptions(event.OrderingKey(fmt.Sprintf("k%d", i)))
		if err := source.Publish(t.Context(), "jobs/{partition}/do", broker.NewMessage(&reading{}), opt); err != nil {
			t.Fatal(err)
		}
		if i == 50 {
			stopFirst()
		}
	}
	for range 100 {
		receive(t, got)
	}
	mqtttest.Eventually(t, patience, func() bool { return owned(second) == count })
}
