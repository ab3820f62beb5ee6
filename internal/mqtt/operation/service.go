package operation

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/event/eventimpl"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/logsafe"
)

// RegisterService subscribes the handlers of a generated service. It returns nothing:
// everything that is wrong is reported by Start, and after Start it is logged as well.
func (r *Registry) RegisterService(d *event.ServiceDesc, handlers []event.Handler, opts ...event.RegisterOption) {
	if d == nil {
		r.services.add(r, &registration{errs: []error{errors.New("the description of the service is nil")}})
		return
	}
	options, err := event.NewRegistration(d, opts)
	own := &registration{of: r, desc: d, options: options, prefix: newPrefix(options.FilterPrefix)}
	own.fail(err)
	for _, h := range handlers {
		own.register(h)
	}
	r.services.add(r, own)
}

// services has the registered services.
type services struct {
	mismatches atomic.Int64

	mu       sync.Mutex
	all      []*registration
	running  bool
	overlaps int // registrations that have been compared
}

// add stores a registration, and logs its problems if Start was called already.
func (s *services) add(of *Registry, r *registration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all = append(s.all, r)
	if !s.running {
		return
	}
	r.announced.Do(r.announce)
	for _, err := range r.errs {
		of.log().Error("mqtt: service not registered", logsafe.KeyError, err)
	}
	s.compare(of)
}

// ready reports everything that keeps the services from working.
func (s *services) ready(of *Registry) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var errs []error
	for _, r := range s.all {
		r.announced.Do(r.announce) // not before: it has the client id
		errs = append(errs, r.errs...)
	}
	errs = append(errs, s.presence(of), s.repliers(of))
	if err := errors.Join(errs...); err != nil {
		return errors.Join(registerError(err), of.problem())
	}
	s.compare(of)
	return nil
}

// began checks what is known only with a connection.
func (s *services) began(ctx context.Context, of *Registry) error {
	s.mu.Lock()
	err := s.repliers(of)
	s.running = err == nil
	s.mu.Unlock()
	if err == nil {
		return nil
	}
	return errors.Join(registerError(err), of.front.Stop(ctx))
}

func registerError(err error) error {
	return &event.Error{Op: "register", Reason: event.ReasonBadRequest, Cause: err}
}

// repliers returns an error for methods that could never reply.
func (s *services) repliers(of *Registry) error {
	if !of.cannotReply() {
		return nil
	}
	var errs []error
	for _, r := range s.all {
		for _, operation := range r.replies {
			errs = append(errs, fmt.Errorf("%s replies, for which MQTT 3.1.1 has no place: use MQTT 5, or WithCloudEvents on both sides", operation))
		}
	}
	return errors.Join(errs...)
}

// compare warns of filters of different registrations that can match one topic.
func (s *services) compare(of *Registry) {
	for i := s.overlaps; i < len(s.all); i++ {
		for _, before := range s.all[:i] {
			for _, f := range s.all[i].filters {
				before.overlap(of, f)
			}
		}
	}
	s.overlaps = len(s.all)
}

func (r *registration) overlap(of *Registry, f filter) {
	at := slices.IndexFunc(r.filters, func(o filter) bool { return eventimpl.Overlap(o.text, f.text) })
	if at < 0 {
		return
	}
	o := r.filters[at]
	of.log().Warn("mqtt: two operations may get the same messages: a broker may deliver one for each",
		logsafe.KeyOperation, o.operation, logsafe.KeyFilter, o.text, logsafe.KeyNames, f.operation, logsafe.KeyValue, f.text)
}
