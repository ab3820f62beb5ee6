package parking

// turns bounds how many keys are handled at once. Origins take turns, and the keys of one
// origin wait for each other, so that a sender with many parked messages does not delay
// the others. An origin of a filter with wildcards never has all turns.
type turns struct {
	free int
	most int                     // per origin; 0 means no bound
	has  map[string]int          // by origin, where it counts
	of   map[string][]*parkedKey // that wait, by origin
	next []string                // origins with keys that wait, each once
}

func newTurns(workers int) turns {
	t := turns{free: max(1, workers/2), has: make(map[string]int), of: make(map[string][]*parkedKey)}
	if t.free > 1 {
		t.most = t.free - max(1, t.free/8)
	}
	return t
}

func (t *turns) full(k *parkedKey) bool {
	return t.most > 0 && k.of.Shares && t.has[k.origin] >= t.most
}

func (t *turns) add(k *parkedKey) {
	keys := t.of[k.origin]
	if len(keys) == 0 {
		t.next = append(t.next, k.origin)
	}
	t.of[k.origin] = append(keys, k)
}

// take returns the key that gets the free turn, or nil if no key may. It skips few
// origins: at most two have all the turns that they may have.
func (t *turns) take() *parkedKey {
	if t.free == 0 {
		return nil
	}
	for range t.next {
		origin := t.next[0]
		t.next = t.next[1:]
		keys := t.of[origin]
		k := keys[0]
		if t.full(k) {
			t.next = append(t.next, origin)
			continue
		}
		keys[0] = nil
		if keys = keys[1:]; len(keys) == 0 {
			delete(t.of, origin)
		} else {
			t.of[origin] = keys
			t.next = append(t.next, origin)
		}
		t.free--
		if k.of.Shares {
			t.has[origin]++
		}
		return k
	}
	return nil
}

// end ends the turn of a key.
func (t *turns) end(k *parkedKey) {
	t.free++
	if !k.of.Shares {
		return
	}
	if t.has[k.origin]--; t.has[k.origin] == 0 {
		delete(t.has, k.origin)
	}
}
