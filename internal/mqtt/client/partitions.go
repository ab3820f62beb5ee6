package client

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/identity"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/logsafe"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/partition"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/topic"
)

// Bounds and default of [Partitions].
const (
	maxPartitions   = 1024
	defaultHandover = 2 * time.Second
)

// Partitions are the settings of topics with the level {partition}; the zero value means that
// there are none.
type Partitions struct {
	// Count is how many there are.
	Count int
	// Owned lists the partitions of this replica. Replicas assigns them by ordinal instead.
	Owned    string
	Replicas int
	// Watch assigns them by the replicas that there are: it calls update with the name of this
	// replica and those of all, at first and after each change, until ctx ends. It returns an
	// error if it cannot go on, and is then called again.
	Watch func(ctx context.Context, update func(self string, all []string)) error
	// Handover is how long a new owner waits for a running one.
	Handover time.Duration

	fixed []int // by Owned or Replicas
}

// resolve fills in the defaults, and reports every problem.
func (p *Partitions) resolve(here identity.Replica) error {
	var errs []error
	bad := func(key, format string, args ...any) {
		errs = append(errs, event.NewSettingError("Partitions", key, format, args...))
	}
	if p.Count < 0 || p.Count > maxPartitions || p.Count == 0 && (p.Owned != "" || p.Replicas != 0 || p.Watch != nil) {
		bad("count", "is %d, want 1 to %d", p.Count, maxPartitions)
		return errors.Join(errs...)
	}
	def(&p.Handover, defaultHandover)
	if p.Handover < 0 {
		bad("handover", "is %v, want more than 0s", p.Handover)
	}
	if p.Owned != "" && p.Replicas != 0 || p.Watch != nil && (p.Owned != "" || p.Replicas != 0) {
		bad("owned", "is one of three ways to assign partitions, want owned, replicas or a registry")
	}
	switch {
	case p.Replicas < 0 || p.Replicas > maxPartitions:
		bad("replicas", "is %d, want 1 to %d", p.Replicas, maxPartitions)
	case p.Replicas > 0:
		n, known, err := here.Ordinal()
		switch {
		case err != nil:
			bad("replicas", "%w", err)
		case !known:
			bad("replicas", "needs the ordinal of this replica, which is not known here: want %s, or a pod of a StatefulSet", identity.OrdinalVariable)
		case n >= p.Replicas:
			bad("replicas", "is %d, but this replica has the ordinal %d: want more", p.Replicas, n)
		default:
			p.fixed = partition.Of(n, p.Replicas, p.Count)
		}
	case p.Owned != "":
		var err error
		if p.fixed, err = partition.Parse(p.Owned, p.Count); err != nil {
			bad("owned", "%w", err)
		}
	}
	return errors.Join(errs...)
}

// partitions has a client for each partition that this replica owns. Each has a session of its
// own, whose client id is that of the partition: the broker ends the connection of the owner
// before, and what waited for it goes to the new one. All methods are safe for concurrent use.
type partitions struct {
	plan     Partitions
	settings Settings // of the clients
	service  func() (string, error)
	log      logsafe.Log

	life   sync.Mutex // serializes start and stop
	cancel context.CancelFunc
	leave  context.Context // bounds the wait for handlers of partitions that others own now
	hurry  context.CancelFunc
	ended  sync.WaitGroup

	mu       sync.Mutex
	subs     []*Subscription // with the level for the partition
	runs     map[int]*partitionRun
	due      map[int]time.Time // the partitions to own, and from when on
	yielded  map[int]time.Time // those that another replica took, until when they are left to it
	replicas []string          // the last list
	changed  chan struct{}
}

func newPartitions(c *Client, s *Settings) *partitions {
	p := &partitions{
		plan: c.cfg.Partitions, settings: *s, log: c.log, service: c.serviceName, changed: make(chan struct{}, 1),
		runs: make(map[int]*partitionRun), due: make(map[int]time.Time), yielded: make(map[int]time.Time),
	}
	own := &p.settings
	own.Bind, own.Outbox, own.ignored = nil, nil, nil
	clean := false
	own.Config.CleanSession, own.Config.Partitions, own.Config.fenced = &clean, Partitions{}, true
	own.Config.Will, own.Config.SelfTest, own.Config.OnConnect, own.Config.OnDisconnect = nil, nil, nil, nil
	return p
}

// takes reports whether a subscription has the level for the partition. Without partitions in
// the settings it is for all of them, so that the level becomes a wildcard.
func (p *partitions) takes(s *Subscription) bool {
	if !partition.Has(s.Filter) {
		return false
	}
	if p.plan.Count == 0 {
		s.Filter = partition.Place(s.Filter, "+")
		return false
	}
	return true
}

var errUnassigned = errors.New("the topic has partitions, but none is assigned to this replica: want partitions.owned, partitions.replicas or a service registry")

// subscribe adds a subscription to all partitions, now and later.
func (p *partitions) subscribe(ctx context.Context, s *Subscription) error {
	if p.plan.fixed == nil && p.plan.Watch == nil {
		return &event.Error{Op: "subscribe", Topic: s.Filter, Reason: event.ReasonBadRequest, Cause: errUnassigned}
	}
	s.Filter = topic.Unshared(s.Filter)                           // partitions do what a group does
	if _, err := p.make(0, "x", []*Subscription{s}); err != nil { // its problems are those of all
		return err
	}
	p.mu.Lock()
	p.subs = append(p.subs, s)
	p.mu.Unlock()
	return p.each(func(r *partitionRun) error { return r.subscribe(ctx, s) })
}

// remove removes a subscription, and reports whether there was one.
func (p *partitions) remove(ctx context.Context, s *Subscription) (found bool, err error) {
	p.mu.Lock()
	i := slices.Index(p.subs, s)
	if i >= 0 {
		p.subs = slices.Delete(p.subs, i, i+1)
	}
	p.mu.Unlock()
	if i < 0 {
		return false, nil
	}
	return true, p.each(func(r *partitionRun) error { return r.remove(ctx, s) })
}

// each calls f for all partitions concurrently.
func (p *partitions) each(f func(r *partitionRun) error) error {
	runs := p.list()
	errs := make([]error, len(runs))
	var wg sync.WaitGroup
	for i, r := range runs {
		wg.Go(func() { errs[i] = f(r) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

// list returns the owned partitions by number.
func (p *partitions) list() []*partitionRun {
	p.mu.Lock()
	defer p.mu.Unlock()
	list := make([]*partitionRun, 0, len(p.runs))
	for _, r := range p.runs {
		list = append(list, r)
	}
	slices.SortFunc(list, func(a, b *partitionRun) int { return a.n - b.n })
	return list
}

// start takes the partitions that are assigned by settings, and begins to watch the others.
// base has the values of Start's context.
func (p *partitions) start(base context.Context) error {
	p.life.Lock()
	defer p.life.Unlock()
	p.mu.Lock()
	idle := len(p.subs) == 0 || p.cancel != nil
	p.mu.Unlock()
	if idle {
		return nil
	}
	if _, err := p.service(); err != nil {
		return event.NewSettingError("Connection", "partitions", "need the name of the service for their client ids: %w", err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(base))
	p.leave, p.hurry = context.WithCancel(context.Background())
	p.mu.Lock()
	clear(p.yielded)
	p.replicas = nil
	for _, n := range p.plan.fixed {
		p.due[n] = time.Time{}
	}
	p.mu.Unlock()
	if err := p.step(ctx); err != nil && p.plan.Watch == nil {
		cancel()
		p.hurry()
		p.release(context.WithoutCancel(base), p.list())
		return err
	}
	p.cancel = cancel
	p.ended.Go(func() { p.loop(ctx) })
	if p.plan.Watch != nil {
		p.ended.Go(func() { p.watch(ctx) })
	}
	return nil
}

// stop leaves all partitions: it waits within ctx for their handlers.
func (p *partitions) stop(ctx context.Context) {
	p.life.Lock()
	defer p.life.Unlock()
	if p.cancel == nil {
		return
	}
	p.cancel()
	unhurried := context.AfterFunc(ctx, p.hurry)
	p.ended.Wait()
	unhurried()
	p.hurry()
	p.cancel = nil
	p.release(ctx, p.list())
	p.mu.Lock()
	clear(p.due)
	p.mu.Unlock()
}

// clientIDOf returns the client id of a partition's session.
func clientIDOf(service string, n int) string { return service + "-p" + strconv.Itoa(n) }

// health adds the partitions to h.
func (p *partitions) health(h *event.Health) {
	service, _ := p.service()
	now := time.Now()
	p.mu.Lock()
	for n, due := range p.due {
		if r := p.runs[n]; r == nil {
			own := event.PartitionHealth{Partition: n, ClientID: clientIDOf(service, n), State: event.PartitionWaiting}
			if p.yielded[n].After(now) && !due.After(now) {
				own.State = event.PartitionYielded
			}
			h.Partitions = append(h.Partitions, own)
		}
	}
	p.mu.Unlock()
	for _, r := range p.list() {
		r.health(h)
	}
	slices.SortFunc(h.Partitions, func(a, b event.PartitionHealth) int { return a.Partition - b.Partition })
}
