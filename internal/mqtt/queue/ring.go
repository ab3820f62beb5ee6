package queue

// Ring is a growing first-in-first-out list on one slice, for one goroutine or
// under its owner's lock: [Queue] has a goroutine and a lock of its own. The zero
// value is ready to use. It never shrinks: a window limits its length.
type Ring[T any] struct {
	slots []T // length is a power of two
	head  int
	count int
}

// Len returns the number of elements.
func (r *Ring[T]) Len() int { return r.count }

// Cap returns how many elements there is memory for.
func (r *Ring[T]) Cap() int { return len(r.slots) }

// Push appends an element.
func (r *Ring[T]) Push(v T) {
	if r.count == len(r.slots) {
		r.grow()
	}
	r.slots[(r.head+r.count)&(len(r.slots)-1)] = v
	r.count++
}

// Front returns the oldest element. The ring must not be empty.
func (r *Ring[T]) Front() *T { return &r.slots[r.head] }

// Pop removes the oldest element. The ring must not be empty.
func (r *Ring[T]) Pop() T {
	var zero T
	v := r.slots[r.head]
	r.slots[r.head] = zero
	r.head = (r.head + 1) & (len(r.slots) - 1)
	r.count--
	return v
}

// All calls yield for each element, oldest first, until it returns false. It must
// not change the ring.
func (r *Ring[T]) All(yield func(T) bool) {
	for i := range r.count {
		if !yield(r.slots[(r.head+i)&(len(r.slots)-1)]) {
			return
		}
	}
}

func (r *Ring[T]) grow() {
	slots := make([]T, max(4, 2*len(r.slots)))
	n := copy(slots, r.slots[r.head:])
	copy(slots[n:], r.slots[:r.head])
	r.slots, r.head = slots, 0
}
