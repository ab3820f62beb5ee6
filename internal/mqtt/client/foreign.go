package client

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event/deadletter"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/envelope"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/session"
)

// sweepParked makes dead letters of what is parked for too long and has nobody
// here: the one that parked it does not come back, as a replica that is gone, or
// does not subscribe to the filter any more. Whoever shares the store does so.
func (r *run) sweepParked(ctx context.Context) {
	c, q, moved := r.client, deadletter.Query{State: deadletter.Parked, OverAt: time.Now()}, 0
	for more := true; more && ctx.Err() == nil; {
		page, err := r.listParked(ctx, q)
		if err != nil {
			c.log.Warnf("mqtt: dead-letter store: looking for what nobody handles: %v", err)
			return
		}
		more = len(page) > 0
		for _, l := range page {
			if q.After = l.ID; !l.Over(q.OverAt) || r.handles(l) {
				continue
			}
			called, err := deadletter.WithClaim(ctx, c.store, l.ID, func(ctx context.Context) error { return r.orphan(ctx, l.ID) })
			switch {
			case errors.Is(err, deadletter.ErrNotFound):
			case err != nil:
				c.log.Warnf("mqtt: dead-letter store: parked message %s, which nobody handles: %v", l.ID, err)
				return
			case called:
				moved++
			}
		}
	}
	if moved > 0 {
		c.log.Warnf("mqtt: %d parked messages whose time is over were handled by nobody and are dead letters now", moved)
	}
}

func (r *run) listParked(ctx context.Context, q deadletter.Query) ([]*deadletter.Letter, error) {
	ctx, cancel := context.WithTimeout(ctx, r.client.cfg.StoreTimeout)
	defer cancel()
	return r.client.store.List(ctx, q)
}

// handles reports whether a subscription here handles the letter again.
func (r *run) handles(l *deadletter.Letter) bool {
	for _, lot := range r.allLots() {
		if lot.sub.Filter == l.Filter && lot.has(l.Owner) {
			return true
		}
	}
	return false
}

// orphan makes a dead letter of a parked one that the caller has claimed.
func (r *run) orphan(ctx context.Context, id string) error {
	kept, err := r.client.store.Get(ctx, id)
	if err != nil {
		return err
	}
	if !kept.Over(time.Now()) {
		return deadletter.ErrNotFound // somebody was quicker
	}
	d := &Delivery{letter: &letter{Letter: kept}, before: kept.Attempts}
	d.Inbound = &session.Inbound{
		Topic: kept.Topic, Payload: kept.Payload, QoS: kept.QoS, Retain: kept.Retain, Duplicate: true,
		Properties: envelope.Outgoing(&kept.Message).Properties,
	}
	defer r.troubles.clear(d) // the next sweep tries again
	return r.bury(ctx, d, fmt.Errorf("parked until %s, and %q did not handle it: %s",
		kept.Until.UTC().Format(time.RFC3339), kept.Owner, kept.Reason), 0)
}

// countForeign notes how many messages are parked that nobody here handles.
func (r *run) countForeign(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, r.client.cfg.StoreTimeout)
	defer cancel()
	st, err := r.client.store.Stats(ctx)
	if err != nil {
		return // the health tells of a store that fails when it is needed
	}
	ours := 0
	for _, l := range r.allLots() {
		ours += int(l.count.Load())
	}
	r.foreign.Store(int64(max(0, st.Parked-ours)))
}
