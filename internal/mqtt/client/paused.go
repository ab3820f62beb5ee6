package client

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/logsafe"
)

// stoppedSubscriptions returns the subscriptions of a client that is not started, by name.
func stoppedSubscriptions(c *Client) (list []event.SubscriptionPause) {
	c.mu.Lock()
	defer c.mu.Unlock()
	known := make(map[string]bool)
	for s := range c.subs {
		if op := s.operation(); op != "" && known[op] {
			continue
		}
		known[s.name()] = true
		p := event.SubscriptionPause{Name: s.name(), State: event.BreakerClosed}
		if s.Breaker != nil {
			p.OpensAt = s.Breaker.Failures
		}
		if note, paused := c.lasting.paused.note(s.names()); paused {
			p.State, p.By, p.Why = event.PausedByHand, note.By, note.Why
		}
		list = append(list, p)
	}
	sortByName(list)
	return list
}

// pausedNames are those of subscriptions that are paused by hand, also while the client is
// stopped.
type pausedNames struct {
	mu  sync.Mutex
	all map[string]event.PauseNote
}

func (p *pausedNames) add(name string, note event.PauseNote) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.all == nil {
		p.all = make(map[string]event.PauseNote)
	}
	p.all[name] = note
}

func (p *pausedNames) remove(names ...string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, name := range names {
		delete(p.all, name)
	}
}

// note returns the note of the first name that is paused.
func (p *pausedNames) note(names []string) (note event.PauseNote, paused bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, name := range names {
		if note, paused = p.all[name]; paused {
			return note, true
		}
	}
	return note, false
}

// maxBy and maxWhy are the numbers of bytes that are kept of a [event.PauseNote].
const (
	maxBy  = 64
	maxWhy = 256
)

// pauseNamed implements [Client.Pause].
func pauseNamed(ctx context.Context, c *Client, name string, opts []event.PauseOption) error {
	note := event.NewPauseNote(opts)
	note.By, note.Why = logsafe.Within(note.By, maxBy), logsafe.Within(note.Why, maxWhy)
	list, err := steered(ctx, c, "pause", name, func(list []*breaker, _ []string) {
		c.lasting.paused.add(name, note)
		for _, b := range list {
			b.Pause()
		}
	})
	if err != nil {
		return err
	}
	for _, b := range list {
		if err := b.Idle(ctx); err != nil {
			reason := event.ReasonCanceled
			if errors.Is(err, context.DeadlineExceeded) {
				reason = event.ReasonTimeout
			}
			return &event.Error{Op: "pause", Topic: name, Reason: reason, Cause: fmt.Errorf("paused, and a handler still runs: %w", err)}
		}
	}
	return nil
}

// resumeNamed implements [Client.Resume].
func resumeNamed(ctx context.Context, c *Client, name string) error {
	_, err := steered(ctx, c, "resume", name, func(list []*breaker, names []string) {
		c.lasting.paused.remove(append(names, name)...)
		for _, b := range list {
			b.Resume()
		}
	})
	return err
}

// steered calls act with the breakers of the subscriptions that have a name, if there is a run,
// and with all their names, and returns the breakers. It holds the client's lock, so that of two
// calls at once one is later in every respect.
func steered(ctx context.Context, c *Client, op, name string, act func(list []*breaker, names []string)) (list []*breaker, err error) {
	if ctx == nil {
		return nil, BadRequest(op, name, "context is nil")
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	var all []string
	for s := range c.subs {
		if names := s.names(); slices.Contains(names, name) {
			all = append(all, names...)
		}
	}
	if r := c.run.Load(); r != nil {
		list = r.breakers.named(name)
	}
	if len(all) == 0 && len(list) == 0 {
		return nil, BadRequest(op, logsafe.Clip(name), "no subscription has this operation or topic filter")
	}
	act(list, all)
	return list, nil
}
