package dedup

import (
	"container/heap"
	"container/list"
	"strings"
	"time"
)

// remembered are the ids of a window in memory, by whose they are. When there is no
// room for another one, whoever has most gives way: who may send under one name makes
// up ids at will, and has nobody else's forgotten. Not safe for concurrent use.
type remembered struct {
	most     int
	ttl      time.Duration
	ids      map[string]*rememberedID
	owners   map[string]*owner
	heaviest owners
	used     list.List // of *owner, the one that was used last in front
	clock    uint64    // counts uses
}

type rememberedID struct {
	id    string
	at    time.Duration
	owner *owner
	place *list.Element // in the ids of its owner
}

// owner is who has ids.
type owner struct {
	name  string
	ids   list.List // of *rememberedID, the one that was seen last in front
	used  uint64
	added time.Duration // the last id
	index int           // in the heap
	place *list.Element // in the uses
}

func newRemembered(most int, ttl time.Duration) *remembered {
	return &remembered{most: most, ttl: ttl, ids: make(map[string]*rememberedID), owners: make(map[string]*owner)}
}

// ownerOf is the part of an id that says whose it is.
func ownerOf(id string) string {
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
	e.owner.ids.MoveToFront(e.place)
	r.use(e.owner)
	return true
}

// add remembers an id that is not there.
func (r *remembered) add(id string, now time.Duration) {
	if e := r.ids[id]; e != nil {
		r.forget(e)
	}
	name := ownerOf(id)
	o := r.owners[name]
	if o == nil {
		o = &owner{name: strings.Clone(name)}
		o.place = r.used.PushFront(o)
		r.owners[o.name] = o
		heap.Push(&r.heaviest, o)
	}
	e := &rememberedID{id: id, at: now, owner: o}
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

// makeRoom forgets an id, or all of an owner whose ids are too old.
func (r *remembered) makeRoom(now time.Duration) {
	if o, _ := r.used.Back().Value.(*owner); now-o.added >= r.ttl {
		for range o.ids.Len() {
			r.forget(o.last())
		}
		return
	}
	r.forget(r.heaviest[0].last())
}

func (r *remembered) use(o *owner) {
	r.clock++
	o.used = r.clock
	r.used.MoveToFront(o.place)
	heap.Fix(&r.heaviest, o.index)
}

func (r *remembered) forget(e *rememberedID) {
	delete(r.ids, e.id)
	o := e.owner
	o.ids.Remove(e.place)
	if o.ids.Len() > 0 {
		heap.Fix(&r.heaviest, o.index)
		return
	}
	r.used.Remove(o.place)
	heap.Remove(&r.heaviest, o.index)
	delete(r.owners, o.name)
}

// last is the id that was not seen for longest.
func (o *owner) last() *rememberedID {
	e, _ := o.ids.Back().Value.(*rememberedID)
	return e
}

// owners is a heap, of those who have most ids first, and among equals of the one
// that was not used for longest.
type owners []*owner

var _ heap.Interface = (*owners)(nil)

// Len implements [heap.Interface].
func (h owners) Len() int { return len(h) }

// Less implements [heap.Interface].
func (h owners) Less(i, j int) bool {
	if a, b := h[i].ids.Len(), h[j].ids.Len(); a != b {
		return a > b
	}
	return h[i].used < h[j].used
}

// Swap implements [heap.Interface].
func (h owners) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}

// Push implements [heap.Interface].
func (h *owners) Push(x any) {
	if o, ok := x.(*owner); ok {
		o.index = len(*h)
		*h = append(*h, o)
	}
}

// Pop implements [heap.Interface].
func (h *owners) Pop() any {
	old := *h
	o := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	return o
}
