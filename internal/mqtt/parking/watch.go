package parking

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event/deadletter"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/logsafe"
)

// Watch checks the parked messages periodically until ctx ends: it reports the keys that
// wait here, and sweeps messages that no process handles.
func (p *Parking) Watch(ctx context.Context) {
	tick := time.NewTicker(p.ReportEvery)
	defer tick.Stop()
	for {
		p.sweep(ctx)
		p.countForeign(ctx)
		select {
		case <-tick.C:
			p.report()
		case <-ctx.Done():
			return
		}
	}
}

// sweep makes dead letters of messages that have been parked for too long and have no
// handler in this process. The process that parked them may be a replica that was removed,
// or may no longer subscribe to the filter. Every process that shares the store does so.
func (p *Parking) sweep(ctx context.Context) {
	q, moved := deadletter.Query{State: deadletter.Parked, OverAt: time.Now()}, 0
	for more := true; more && ctx.Err() == nil; {
		page, err := p.list(ctx, q)
		if err != nil {
			p.Log.Warn("mqtt: dead-letter store fails for a look at what nobody handles", logsafe.KeyError, err)
			return
		}
		more = len(page) > 0
		for _, l := range page {
			if q.After = l.ID; !l.Over(q.OverAt) || p.handles(l) {
				continue
			}
			called, err := deadletter.WithClaim(ctx, p.Store, l.ID, func(ctx context.Context) error { return p.orphan(ctx, l.ID) })
			switch {
			case errors.Is(err, deadletter.ErrNotFound):
			case err != nil:
				p.Log.Warn("mqtt: dead-letter store fails for a parked message that nobody handles", logsafe.KeyLetterID, l.ID, logsafe.KeyError, err)
				return
			case called:
				moved++
			}
		}
	}
	if moved > 0 {
		p.Log.Warn("mqtt: parked messages whose time is over were handled by nobody and are dead letters now", logsafe.KeyCount, moved)
	}
}

func (p *Parking) list(ctx context.Context, q deadletter.Query) ([]*deadletter.Letter, error) {
	ctx, cancel := context.WithTimeout(ctx, p.StoreTimeout)
	defer cancel()
	return p.Store.List(ctx, q)
}

// handles reports whether a subscription of this process handles the parked message.
func (p *Parking) handles(l *deadletter.Letter) bool {
	return slices.ContainsFunc(p.all(), func(b *Backlog) bool { return b.Filter == l.Filter && b.Has(l.Owner) })
}

// orphan turns a parked message, which the caller has claimed, into a dead letter.
func (p *Parking) orphan(ctx context.Context, id string) error {
	kept, err := p.Store.Get(ctx, id)
	if err != nil {
		return err
	}
	if !kept.Over(time.Now()) {
		return deadletter.ErrNotFound // another process was quicker
	}
	d := p.Orphan(NewKept(kept))
	defer p.problems.clear(d) // the next sweep tries again
	return p.Put(ctx, d, fmt.Errorf("parked until %s, and %q did not handle it: %s",
		kept.Until.UTC().Format(time.RFC3339), kept.Owner, kept.Reason), 0)
}

// countForeign counts the parked messages that no subscription of this process handles.
func (p *Parking) countForeign(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, p.StoreTimeout)
	defer cancel()
	st, err := p.Store.Stats(ctx)
	if err != nil {
		return // the health reports a failing store when it is needed
	}
	ours := 0
	for _, l := range p.all() {
		ours += int(l.count.Load())
	}
	p.foreign.Store(int64(max(0, st.Parked-ours)))
}
