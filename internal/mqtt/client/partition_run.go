package client

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/logsafe"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/partition"
)

// partitionRun is a partition that this replica owns.
type partitionRun struct {
	n      int
	id     string
	client *Client
	taken  atomic.Pointer[event.LossError] // by another owner

	mu   sync.Mutex
	subs map[*Subscription]*Subscription // by the one for all partitions
}

// make makes the client of a partition, with its subscriptions, without connecting it.
func (p *partitions) make(n int, service string, subs []*Subscription) (*partitionRun, error) {
	r := &partitionRun{n: n, id: clientIDOf(service, n), subs: make(map[*Subscription]*Subscription)}
	s := p.settings
	s.Config.naming = naming{}
	s.Config.ClientID, s.Config.Role = r.id, fmt.Sprintf("partition %d", n)
	s.Config.OnDisconnect = func(err error) {
		if l, ok := errors.AsType[*event.LossError](err); ok && l.Kind == event.LossTakenOver {
			r.taken.Store(l)
			p.wake()
		}
	}
	var err error
	if r.client, err = New(&s, NewLasting(), nil); err != nil {
		return nil, err
	}
	for _, sub := range subs {
		if err := r.subscribe(context.Background(), sub); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// subscribe subscribes to a partition's part of a filter, unless it is done.
func (r *partitionRun) subscribe(ctx context.Context, s *Subscription) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.subs[s] != nil {
		return nil
	}
	own := *s
	own.Filter = partition.Place(s.Filter, strconv.Itoa(r.n))
	if s.Typed != nil {
		typed := *s.Typed
		own.Typed = &typed
	}
	if _, err := r.client.Subscribe(ctx, &own); err != nil {
		return err
	}
	r.subs[s] = &own
	return nil
}

func (r *partitionRun) remove(ctx context.Context, s *Subscription) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	own := r.subs[s]
	if own == nil {
		return nil
	}
	delete(r.subs, s)
	return r.client.Unsubscribe(ctx, own)
}

// health adds the partition to h.
func (r *partitionRun) health(h *event.Health) {
	own := r.client.Health()
	at := event.PartitionHealth{Partition: r.n, ClientID: r.id, State: event.PartitionConnecting, LastError: own.LastError}
	if own.Ready {
		at.State = event.PartitionOwned
	}
	h.Partitions = append(h.Partitions, at)
	h.Ready = h.Ready && own.Ready
	for _, s := range own.Sessions {
		s.Name = fmt.Sprintf("p%d", r.n)
		h.Sessions = append(h.Sessions, s)
	}
	h.Filters, h.Granted, h.GrantedLower = h.Filters+own.Filters, h.Granted+own.Granted, h.GrantedLower+own.GrantedLower
	h.Queued, h.Running, h.QueuedBytes = h.Queued+own.Queued, h.Running+own.Running, h.QueuedBytes+own.QueuedBytes
	h.QueueFull, h.Unmatched, h.UnmatchedKept = h.QueueFull+own.QueueFull, h.Unmatched+own.Unmatched, h.UnmatchedKept+own.UnmatchedKept
	h.UnmatchedLetters, h.IllFormed, h.SessionsLost = h.UnmatchedLetters+own.UnmatchedLetters, h.IllFormed+own.IllFormed, h.SessionsLost+own.SessionsLost
	h.Parked, h.ParkedKeys, h.BackPressure = h.Parked+own.Parked, h.ParkedKeys+own.ParkedKeys, max(h.BackPressure, own.BackPressure)
	h.DeadLettersBlocked = h.DeadLettersBlocked || own.DeadLettersBlocked
	noteLoss(h, own.LastLoss)
	if h.LastError == nil {
		h.LastError = own.LastError
	}
}

const (
	// retakeAfter is when an owner that the registry still names takes a partition back that
	// another replica took, which has an old list.
	retakeAfter = 10 * time.Second
	// retakeFixed is the same for partitions that are assigned by settings, if it is not
	// certain that another replica took it.
	retakeFixed = time.Minute
	// never is beyond the life of a process.
	never = 100 * 365 * 24 * time.Hour
)

// retake returns how long a partition is left to the replica that took it. On MQTT 5 the broker
// says so; on 3.1.1 it only ends connections.
func (p *partitions) retake(l *event.LossError) time.Duration {
	switch {
	case p.plan.Watch != nil:
		return retakeAfter
	case l.Code != 0:
		return never
	}
	return retakeFixed
}

func (p *partitions) wake() {
	select {
	case p.changed <- struct{}{}:
	default:
	}
}

// loop applies changes until ctx ends.
func (p *partitions) loop(ctx context.Context) {
	for {
		_ = p.step(ctx) // logged
		timer := time.NewTimer(p.pause())
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-p.changed:
		case <-timer.C:
		}
		timer.Stop()
	}
}

// pause returns the time until a partition is due.
func (p *partitions) pause() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	pause := time.Minute
	for n, due := range p.due {
		if p.runs[n] == nil {
			pause = min(pause, max(time.Until(due), time.Until(p.yielded[n])))
		}
	}
	return max(pause, time.Millisecond)
}

// step leaves partitions that another replica owns, and takes those that are due. It returns
// the problems of those that could not be taken; they are tried again.
func (p *partitions) step(ctx context.Context) error {
	var gone, taken []*partitionRun
	var due []int
	now := time.Now()
	p.mu.Lock()
	for n, r := range p.runs {
		_, wanted := p.due[n]
		if l := r.taken.Load(); l != nil {
			taken = append(taken, r)
			p.yielded[n] = now.Add(p.retake(l))
			p.log.Warn("mqtt: another replica took a partition: it is left to it", logsafe.KeyClientID, r.id, logsafe.KeyError, l)
		} else if !wanted {
			gone = append(gone, r)
		}
	}
	for n, at := range p.due {
		if p.runs[n] == nil && !at.After(now) && !p.yielded[n].After(now) {
			due = append(due, n)
		}
	}
	p.mu.Unlock()
	var wg sync.WaitGroup
	wg.Go(func() {
		over, cancel := context.WithCancel(context.Background())
		cancel() // what waits for handlers belongs to the new owner now
		p.release(over, taken)
	})
	wg.Go(func() { p.release(p.leave, gone) })
	errs := make([]error, len(due))
	for i, n := range due {
		wg.Go(func() { errs[i] = p.take(ctx, n) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

// take connects with the client id of a partition.
func (p *partitions) take(ctx context.Context, n int) error {
	service, err := p.service()
	if err != nil {
		return err
	}
	p.mu.Lock()
	subs := slices.Clone(p.subs)
	p.mu.Unlock()
	r, err := p.make(n, service, subs)
	if err == nil {
		err = r.client.Start(ctx)
	}
	if err != nil && ctx.Err() != nil {
		return err // stopped meanwhile
	}
	if err != nil {
		p.log.Error("mqtt: a partition could not be taken: it is tried again", logsafe.KeyClientID, clientIDOf(service, n), logsafe.KeyError, err)
		p.mu.Lock()
		p.yielded[n] = time.Now().Add(retakeAfter)
		p.mu.Unlock()
		return err
	}
	p.log.Info("mqtt: partition taken", logsafe.KeyClientID, r.id)
	p.mu.Lock()
	p.runs[n] = r
	subs = slices.Clone(p.subs)
	p.mu.Unlock()
	for _, s := range subs { // added meanwhile
		if err := r.subscribe(ctx, s); err != nil {
			p.log.Error("mqtt: a subscription of a partition failed", logsafe.KeyClientID, r.id, logsafe.KeyError, err)
		}
	}
	return nil
}

// release leaves partitions: it waits within ctx for their handlers and disconnects. The
// broker keeps the sessions for the next owners.
func (p *partitions) release(ctx context.Context, runs []*partitionRun) {
	var wg sync.WaitGroup
	for _, r := range runs {
		wg.Go(func() {
			err := r.client.Stop(ctx)
			p.log.Info("mqtt: partition left", logsafe.KeyClientID, r.id, logsafe.KeyError, err)
			p.mu.Lock()
			defer p.mu.Unlock()
			if p.runs[r.n] == r {
				delete(p.runs, r.n)
			}
		})
	}
	wg.Wait()
}

// watchPause is the pause before a watch that failed is tried again.
const watchPause = time.Second

// watch follows the list of replicas until ctx ends.
func (p *partitions) watch(ctx context.Context) {
	for {
		err := p.plan.Watch(ctx, p.update)
		if ctx.Err() != nil {
			return
		}
		p.log.Warn("mqtt: the replicas of the service are not known: partitions stay where they are", logsafe.KeyError, err)
		timer := time.NewTimer(watchPause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return
		}
	}
}

// update applies a new list of replicas. An empty one is that of a registry that has lost its
// state, and changes nothing. A new owner waits for the one before, if that still runs: it has
// the same list and leaves.
func (p *partitions) update(self string, replicas []string) {
	if len(replicas) == 0 {
		return
	}
	owned := partition.Moved(self, replicas, p.plan.Count)
	now := time.Now()
	p.mu.Lock()
	before := p.replicas
	p.replicas = slices.Clone(replicas)
	for n := range p.due {
		if _, still := owned[n]; !still {
			delete(p.due, n)
			delete(p.yielded, n)
		}
	}
	for n, other := range owned {
		if _, already := p.due[n]; already {
			continue
		}
		if slices.Contains(before, self) {
			other = partition.Owner(n, before)
		}
		p.due[n] = now
		if other != self && slices.Contains(replicas, other) {
			p.due[n] = now.Add(p.plan.Handover)
		}
	}
	p.mu.Unlock()
	p.wake()
}
