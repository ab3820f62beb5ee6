package dedup

import (
	"container/heap"
	"container/list"
	"strings"
	"time"
)

// remembered are the ids of a window in memory, by their origins. When there is no
// room for another one, the origin that has most loses one: who makes up ids has none
// of others forgotten. Not safe for concurrent use.
type remembered struct {
	most     int
	ttl      time.Duration
	ids      map[string]*rememberedID
	origins  map[string]*origin
	heaviest origins
	used     list.List // of *origin, the one that was used last in front
	clock    uint64    // counts uses
}

type rememberedID struct {
	id     string
	at     time.Duration
	origin *origin
	place  *list.Element // in the ids of its origin
}

// origin is what ids have in common that the same senders made; see [Window].
type origin struct {
	name  string
	ids   list.List // of *rememberedID, the one that was seen last in front
	used  uint64
	added time.Duration // the last id
	index int           // in the heap
	place *list.Element // in the uses
}

func newRemembered(most int, ttl time.Duration) *remembered {
	return &remembered{most: most, ttl: ttl, ids: make(map[string]*rememberedID), origins: make(map[string]*origin)}
}

// originOf is the part of an id that names its origin.
func originOf(id string) string {
	return id[:max(0, strings.IndexAny(id, "/:"))]
}

// has reports whether an id is remembered, and notes that it was seen.
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

// add remembers an id that is not there.
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

// makeRoom forgets an id, or all of an origin whose ids are too old.
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

// last is the id that was not seen for longest.
func (o *origin) last() *rememberedID {
	e, _ := o.ids.Back().Value.(*rememberedID)
	return e
}

// origins is a heap, of the one that has most ids first, and among equals of the one
// that was not used for longest.
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
