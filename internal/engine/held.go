package engine

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event"
)

// maxHeld is how many keys are named in a log and a snapshot: those with most
// messages.
const maxHeld = 10

// failed notes why the key is still held.
func (h *held) failed(why string) {
	h.lot.mu.Lock()
	defer h.lot.mu.Unlock()
	h.why = why
}

// held returns the keys that most messages wait for, and how many keys there
// are.
func (r *run) held() (top []event.HeldKey, keys int) {
	for _, l := range r.allLots() {
		l.mu.Lock()
		keys += len(l.keys)
		for _, h := range l.keys {
			top = append(top, event.HeldKey{Filter: l.sub.Filter, Key: h.key, Waiting: len(h.ids) - 1, Since: h.since, Reason: h.why})
			if len(top) >= 2*maxHeld {
				top = most(top)
			}
		}
		l.mu.Unlock()
	}
	return most(top), keys
}

func most(keys []event.HeldKey) []event.HeldKey {
	slices.SortFunc(keys, func(a, b event.HeldKey) int {
		return cmp.Or(cmp.Compare(b.Waiting, a.Waiting), a.Since.Compare(b.Since), cmp.Compare(a.Key, b.Key))
	})
	return keys[:min(len(keys), maxHeld)]
}

// watchParked looks now and then at what is parked: here, what waits, and
// elsewhere, what nobody handles.
func (r *run) watchParked(ctx context.Context) {
	tick := time.NewTicker(r.client.cfg.ParkReport)
	defer tick.Stop()
	for {
		r.sweepParked(ctx)
		r.countForeign(ctx)
		select {
		case <-tick.C:
			r.tellHeld()
		case <-ctx.Done():
			return
		}
	}
}

func (r *run) tellHeld() {
	top, keys := r.held()
	c := r.client
	for _, h := range top {
		c.log.Warnf("mqtt: key %q of %q is held for %v: %d messages wait behind a parked one, which fails: %s",
			h.Key, h.Filter, time.Since(h.Since).Round(time.Second), h.Waiting, h.Reason)
		if f := c.cfg.Hooks.Held; f != nil {
			c.hook(func() { f(h) })
		}
	}
	if n := keys - len(top); n > 0 {
		c.log.Warnf("mqtt: %d more keys are held", n)
	}
}
