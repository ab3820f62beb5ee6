package server

import (
	"context"
	"maps"
	"sync"
	"time"

	"github.com/go-kratos/kratos/v2/registry"
)

// statusKey is the key of the registry metadata that contains the status of this
// process: "ready", "degraded" or "not ready". Clients may choose instances by it.
const statusKey = "status"

// announcePeriod is how often the status is checked for the registry.
const announcePeriod = 5 * time.Second

// NewRegistrar returns the registry in which the running service is announced. Nil
// disables the announcement. To enable it, pass a registry client to follow.
func NewRegistrar(t *Telemetry) registry.Registrar { return follow(nil, t) }

// follow returns a registrar that registers the instance again whenever its status has
// changed. For nil it returns nil.
func follow(r registry.Registrar, t *Telemetry) registry.Registrar {
	if r == nil {
		return nil
	}
	return &follower{Registrar: r, telemetry: t}
}

// follower announces one instance at a time.
type follower struct {
	registry.Registrar
	telemetry *Telemetry

	mu   sync.Mutex
	stop context.CancelFunc
	done chan struct{}
}

// Register implements registry.Registrar.
func (f *follower) Register(ctx context.Context, service *registry.ServiceInstance) error {
	status := string(f.telemetry.Check().Status)
	if err := f.Registrar.Register(ctx, withStatus(service, status)); err != nil {
		return err
	}
	f.end()
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	done := make(chan struct{})
	f.mu.Lock()
	f.stop, f.done = cancel, done
	f.mu.Unlock()
	go func() {
		defer close(done)
		f.announce(ctx, service, status)
	}()
	return nil
}

// announce registers changes until ctx ends. A failed registration is tried again.
func (f *follower) announce(ctx context.Context, service *registry.ServiceInstance, status string) {
	tick := time.NewTicker(announcePeriod)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		now := string(f.telemetry.Check().Status)
		if now == status {
			continue
		}
		within, cancel := context.WithTimeout(ctx, announcePeriod)
		if f.Registrar.Register(within, withStatus(service, now)) == nil {
			status = now
		}
		cancel()
	}
}

// Deregister implements registry.Registrar.
func (f *follower) Deregister(ctx context.Context, service *registry.ServiceInstance) error {
	f.end()
	return f.Registrar.Deregister(ctx, service)
}

// end ends the goroutine and waits for it.
func (f *follower) end() {
	f.mu.Lock()
	stop, done := f.stop, f.done
	f.stop = nil
	f.mu.Unlock()
	if stop != nil {
		stop()
		<-done
	}
}

func withStatus(service *registry.ServiceInstance, status string) *registry.ServiceInstance {
	own := *service
	own.Metadata = maps.Clone(service.Metadata)
	if own.Metadata == nil {
		own.Metadata = make(map[string]string)
	}
	own.Metadata[statusKey] = status
	return &own
}
