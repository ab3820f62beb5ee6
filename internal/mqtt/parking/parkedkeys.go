package parking

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/logsafe"
)

// maxNamed is how many keys are named in a log and a snapshot: those with most
// messages, the first of each origin before the second of any.
const maxNamed = 10

// maxName is the longest name of a held key. Publishers choose it, and it stays in memory
// for as long as the key is held.
const maxName = 256

// keyName returns the name under which a key is held. A long key is shortened to a hash
// followed by its beginning. No topic begins with #, so the name never equals another
// topic.
func keyName(order string) string {
	if len(order) <= maxName {
		return order
	}
	sum := sha256.Sum256([]byte(order))
	return "#sha256:" + hex.EncodeToString(sum[:16]) + "#" + strings.ToValidUTF8(order[:maxName/2], "")
}

// ParkedKeys returns the keys that most messages wait for, and how many keys there
// are.
func (p *Parking) ParkedKeys() (top []event.ParkedKey, keys int) {
	var all []heldKey
	for _, l := range p.all() {
		l.mu.Lock()
		keys += len(l.keys)
		for _, k := range l.keys {
			all = append(all, heldKey{k.origin, event.ParkedKey{Filter: l.Filter, Key: k.name, Waiting: len(k.ids) - 1, Since: k.since, LastError: k.why}})
			if len(all) >= 4*maxNamed {
				all = most(all)
			}
		}
		l.mu.Unlock()
	}
	for _, k := range most(all) {
		top = append(top, k.ParkedKey)
	}
	return top, keys
}

// heldKey is a key that is held, and whose.
type heldKey struct {
	origin string
	event.ParkedKey
}

// most returns the first ones. An origin with many keys takes no place of those of others.
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
	return keys[:min(len(keys), maxNamed)]
}

// report logs and reports the parked keys.
func (p *Parking) report() {
	top, keys := p.ParkedKeys()
	for _, h := range top {
		p.Log.Warn("mqtt: messages of a key wait behind a parked one, which fails", logsafe.KeyFilter, h.Filter, logsafe.KeyOrderingKey, h.Key,
			logsafe.KeyCount, h.Waiting, logsafe.KeyDuration, time.Since(h.Since), logsafe.KeyError, h.LastError)
		if f := p.Held; f != nil {
			p.Call(func() { f(h) })
		}
	}
	if n := keys - len(top); n > 0 {
		p.Log.Warn("mqtt: messages of more keys wait behind a parked one", logsafe.KeyCount, n)
	}
}
