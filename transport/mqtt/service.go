package mqtt

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	// The codecs of generated code.
	_ "github.com/go-kratos/kratos/v2/encoding/json"
	_ "github.com/go-kratos/kratos/v2/encoding/proto"

	"github.com/kratos-mqtt/kratos-mqtt/event"
)

var _ event.ServiceRegistrar = (*Server)(nil)

// RegisterService subscribes the handlers of a generated service, one
// subscription for each topic filter; generated code calls it. Middleware
// selects, and the configuration names, a method by its operation,
// /pkg.Service/Method; middleware sees the message with the fields of its topic.
// What a method says of group, retry and dead letters is a default: an option in
// code, and the configuration of the operation, count over it.
//
// It returns nothing, as with Kratos' other servers: everything that is wrong,
// with the options too, is reported by Start, all at once and each time, and
// nothing is started then. After Start it waits for the SUBACK, and what is
// wrong is logged as well.
//
// A message whose payload contradicts its topic is handled with what the topic
// says, counted as TopicMismatches of the health, and logged once for a method.
func (s *Server) RegisterService(d *event.ServiceDesc, handlers []event.Handler, opts ...event.RegisterOption) {
	if d == nil {
		s.services.add(s, &registration{errs: []error{errors.New("the description of the service is nil")}})
		return
	}
	options, err := event.NewRegistration(d, opts)
	r := &registration{server: s, desc: d, options: options, prefix: newPrefix(options.TopicPrefix)}
	r.fail(err)
	for _, h := range handlers {
		r.register(h)
	}
	r.announce()
	s.services.add(s, r)
}

// services has the registered services of a server.
type services struct {
	mismatches atomic.Int64

	mu       sync.Mutex
	all      []*registration
	running  bool
	overlaps int // registrations that have been compared
}

// add stores a registration, and logs its problems if Start was called already.
func (s *services) add(srv *Server, r *registration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all = append(s.all, r)
	if !s.running {
		return
	}
	for _, err := range r.errs {
		srv.log().Errorf("mqtt: service not registered: %v", err)
	}
	s.compare(srv)
}

// ready reports everything that keeps the services from working.
func (s *services) ready(srv *Server) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var errs []error
	for _, r := range s.all {
		errs = append(errs, r.errs...)
	}
	errs = append(errs, s.presence(srv), s.repliers(srv))
	if err := errors.Join(errs...); err != nil {
		return errors.Join(registerError(err), srv.problem())
	}
	s.compare(srv)
	return nil
}

// began checks what is known only with a connection.
func (s *services) began(ctx context.Context, srv *Server) error {
	s.mu.Lock()
	err := s.repliers(srv)
	s.running = err == nil
	s.mu.Unlock()
	if err == nil {
		return nil
	}
	return errors.Join(registerError(err), srv.broker.Stop(ctx))
}

func registerError(err error) error {
	return &event.Error{Op: "register", Reason: event.ReasonBadRequest, Cause: err}
}

// repliers returns an error for methods that could never reply.
func (s *services) repliers(srv *Server) error {
	if !srv.cannotReply() {
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
func (s *services) compare(srv *Server) {
	for i := s.overlaps; i < len(s.all); i++ {
		for _, before := range s.all[:i] {
			for _, f := range s.all[i].filters {
				before.overlap(srv, f)
			}
		}
	}
	s.overlaps = len(s.all)
}

func (r *registration) overlap(srv *Server, f filter) {
	at := slices.IndexFunc(r.filters, func(o filter) bool { return event.Overlap(o.text, f.text) })
	if at < 0 {
		return
	}
	o := r.filters[at]
	srv.log().Warnf("mqtt: %s (%q) and %s (%q) may get the same messages: a broker may deliver one for each", o.operation, o.text, f.operation, f.text)
}
