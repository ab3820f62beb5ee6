package dedup

import (
	"container/heap"
	"container/list"
	"strings"
	"time"
)

// remembered holds the ids of a window in memory, grouped by origin. When it is full, the
// origin with the most ids loses one, so that a sender that invents ids cannot displace the
// ids of others. Not safe for concurrent use.
type remembered struct {
	most     int
	ttl      time.Duration
	ids      map[string]*rememberedID
	origins  map[string]*origin
	heaviest origins
	used     list.List // of *origin, most recently used first
	clock    uint64    // number of uses
}

type rememberedID struct {
	id     string
	at     time.Duration
	origin *origin
	place  *list.Element // in origin.ids
}

// origin groups the ids that the same senders can create; see [Window].
type origin struct {
	name  string
	ids   list.List // of *rememberedID, most recently seen first
	used  uint64
	added time.Duration // when the last id was added
	index int           // in the heap
	place *list.Element // in remembered.used
}

func newRemembered(most int, ttl time.Duration) *remembered {
	return &remembered{most: most, ttl: ttl, ids: make(map[string]*rememberedID), origins: make(map[string]*origin)}
}

// originOf returns the part of an id that names its origin.
func originOf(id string) string {
	return id[:max(0, strings.IndexAny(id, "/:"))]
}

// has reports whether an id is remembered, and marks it as seen.
func (r *remembered) has(id string, now time.Duration) bool {
	e := r.ids[id]
	if e == nil {
		return false
	}
	if now-e.at >= r.ttl {
		r.forget(e)
		return false
	}
	e.origin.ids.MoveToFront(e.place)
	r.use(e.origin)
	return true
}

// add remembers an id that is not remembered yet.
func (r *remembered) add(id string, now time.Duration) {
	if e := r.ids[id]; e != nil {
		r.forget(e)
	}
	name := originOf(id)
	o := r.origins[name]
	if o == nil {
		o = &origin{name: strings.Clone(name)}
		o.place = r.used.PushFront(o)
		r.origins[o.name] = o
		heap.Push(&r.heaviest, o)
	}
	e := &rememberedID{id: id, at: now, origin: o}
	e.place = o.ids.PushFront(e)
	r.ids[id] = e
	o.added = now
	r.use(o)
	if last := o.last(); now-last.at >= r.ttl {
		r.forget(last)
	}
	for len(r.ids) > r.most {
		r.makeRoom(now)
	}
}

// makeRoom forgets one id, or all ids of an origin whose ids have expired.
func (r *remembered) makeRoom(now time.Duration) {
	if o, _ := r.used.Back().Value.(*origin); now-o.added >= r.ttl {
		for range o.ids.Len() {
			r.forget(o.last())
		}
		return
	}
	r.forget(r.heaviest[0].last())
}

func (r *remembered) use(o *origin) {
	r.clock++
	o.used = r.clock
	r.used.MoveToFront(o.place)
	heap.Fix(&r.heaviest, o.index)
}

func (r *remembered) forget(e *rememberedID) {
	delete(r.ids, e.id)
	o := e.origin
	o.ids.Remove(e.place)
	if o.ids.Len() > 0 {
		heap.Fix(&r.heaviest, o.index)
		return
	}
	r.used.Remove(o.place)
	heap.Remove(&r.heaviest, o.index)
	delete(r.origins, o.name)
}

// last returns the least recently seen id.
func (o *origin) last() *rememberedID {
	e, _ := o.ids.Back().Value.(*rememberedID)
	return e
}

// origins is a heap: the origin with the most ids comes first, and among equals the least
// recently used one. It resembles the heap of package sequence, which is beside the core and
// not below a public package; each knows its own counts.
type origins []*origin

var _ heap.Interface = (*origins)(nil)

// Len implements [heap.Interface].
func (h origins) Len() int { return len(h) }

// Less implements [heap.Interface].
func (h origins) Less(i, j int) bool {
	if a, b := h[i].ids.Len(), h[j].ids.Len(); a != b {
		return a > b
	}
	return h[i].used < h[j].used
}

// Swap implements [heap.Interface].
func (h origins) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}

// Push implements [heap.Interface].
func (h *origins) Push(x any) {
	if o, ok := x.(*origin); ok {
		o.index = len(*h)
		*h = append(*h, o)
	}
}

// Pop implements [heap.Interface].
func (h *origins) Pop() any {
	old := *h
	o := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	return o
}
