package observe

import (
	"context"
	"errors"
	"math"
	"slices"
	"sync"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/semconv"
)

// sources are the clients that are watched.
type sources struct {
	mu  sync.Mutex
	all []*watched
}

// watched is one call's client: values of Source need not be comparable.
type watched struct{ Source }

// Watch adds clients whose Health is read at each collection, which adds up their values. A
// client that was added before, also in another guise, such as a server and a broker that
// share it, is counted once. Nil is ignored. The returned function removes them.
func (m *Metrics) Watch(clients ...Source) (stop func()) {
	var added []*watched
	for _, c := range clients {
		if c != nil {
			added = append(added, &watched{c})
		}
	}
	m.sources.mu.Lock()
	defer m.sources.mu.Unlock()
	m.sources.all = append(m.sources.all, added...)
	return func() {
		m.sources.mu.Lock()
		defer m.sources.mu.Unlock()
		m.sources.all = slices.DeleteFunc(m.sources.all, func(w *watched) bool { return slices.Contains(added, w) })
	}
}

// health returns a snapshot of each client.
func (s *sources) health() []event.Health {
	s.mu.Lock()
	all := slices.Clone(s.all)
	s.mu.Unlock()
	list, _ := snapshots(all)
	return list
}

// snapshots returns the Health of each client once, with its source: of sources that share a
// client, such as a server and a broker, the first one.
func snapshots[S Source](all []S) (list []event.Health, of []S) {
	for _, source := range all {
		h := source.Health()
		if h.Instance != "" && slices.ContainsFunc(list, func(x event.Health) bool { return x.Instance == h.Instance }) {
			continue
		}
		list, of = append(list, h), append(of, source)
	}
	return list, of
}

// observe creates what is read from Health, and the callback that reads it.
func (m *Metrics) observe() error {
	table := gauges()
	errs := make([]error, 0, len(table)+1)
	made := make([]metric.Float64Observable, len(table))
	all := make([]metric.Observable, 0, len(table)+1)
	for i, g := range table {
		var err error
		if g.counts {
			made[i], err = m.meter.Float64ObservableCounter(g.name, metric.WithUnit(g.unit), metric.WithDescription(g.description))
		} else {
			made[i], err = m.meter.Float64ObservableGauge(g.name, metric.WithUnit(g.unit), metric.WithDescription(g.description))
		}
		errs, all = append(errs, err), append(all, made[i])
	}
	state, err := m.meter.Float64ObservableGauge(connectionState, metric.WithUnit("{connection}"),
		metric.WithDescription("Connections that are up: 1 for each client id that is connected, otherwise 0"))
	errs, all = append(errs, err), append(all, state)
	if err := errors.Join(errs...); err != nil {
		return err
	}
	system := metric.WithAttributeSet(attribute.NewSet(m.system...))
	_, err = m.meter.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		list := m.sources.health()
		for i, g := range table {
			if v := g.of(list); !math.IsNaN(v) {
				o.ObserveFloat64(made[i], v, system)
			}
		}
		for client, up := range connections(list) {
			o.ObserveFloat64(state, up, metric.WithAttributes(append(slices.Clip(m.system), semconv.ClientID.String(client))...))
		}
		return nil
	}, all...)
	return err
}

// connections returns 1 for each client id that is connected, otherwise 0.
func connections(list []event.Health) map[string]float64 {
	all := make(map[string]float64)
	for _, h := range list {
		for _, s := range h.Sessions {
			all[s.ClientID] = max(all[s.ClientID], flag(s.Connected))
		}
	}
	return all
}
