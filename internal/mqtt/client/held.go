package client

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event"
)

// maxHeld is how many keys are named in a log and a snapshot: those with most
// messages, the first of each origin before the second of any.
const maxHeld = 10

// maxName is the longest name of a key that is held. Whoever may publish chooses it,
// and it is in memory for as long as it is held.
const maxName = 256

// heldName is the name of an order as it is kept: of a long one the beginning, behind
// a hash. No topic begins with a #, so that it is no other topic's.
func heldName(order string) string {
	if len(order) <= maxName {
		return order
	}
	sum := sha256.Sum256([]byte(order))
	return "#sha256:" + hex.EncodeToString(sum[:16]) + "#" + strings.ToValidUTF8(order[:maxName/2], "")
}

// failed notes why the key is still held.
func (h *held) failed(why string) {
	h.lot.mu.Lock()
	defer h.lot.mu.Unlock()
	h.why = why
}

// held returns the keys that most messages wait for, and how many keys there
// are.
func (r *run) held() (top []event.HeldKey, keys int) {
	var all []heldKey
	for _, l := range r.allLots() {
		l.mu.Lock()
		keys += len(l.keys)
		for _, h := range l.keys {
			all = append(all, heldKey{h.origin, event.HeldKey{Filter: l.sub.Filter, Key: h.key, Waiting: len(h.ids) - 1, Since: h.since, Reason: h.why}})
			if len(all) >= 4*maxHeld {
				all = most(all)
			}
		}
		l.mu.Unlock()
	}
	for _, k := range most(all) {
		top = append(top, k.HeldKey)
	}
	return top, keys
}

// heldKey is a key that is held, and whose.
type heldKey struct {
	origin string
	event.HeldKey
}

// most returns the first ones. Who has many keys takes no place of those of others.
func most(keys []heldKey) []heldKey {
	slices.SortFunc(keys, func(a, b heldKey) int {
		return cmp.Or(cmp.Compare(b.Waiting, a.Waiting), a.Since.Compare(b.Since), cmp.Compare(a.Key, b.Key))
	})
	place, seen := make(map[heldKey]int, len(keys)), make(map[string]int)
	for _, k := range keys {
		place[k] = seen[k.origin]
		seen[k.origin]++
	}
	slices.SortStableFunc(keys, func(a, b heldKey) int { return cmp.Compare(place[a], place[b]) })
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
