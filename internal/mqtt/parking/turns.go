package parking

// turns bound how many keys are handled at once. Origins take turns, and the keys of one
// wait for each other: however many a sender has parked, it is one of those who wait. One
// of a filter with wildcards never has all of them.
type turns struct {
	free int
	most int                     // of an origin; 0 is no bound
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

// take returns the key that has the free turn; nil is none. It passes over
// few origins: two at most have all that they may.
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
