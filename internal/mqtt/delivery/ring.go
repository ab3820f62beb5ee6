package delivery

// ring is a growing FIFO on one slice. The zero value is ready to use. It never
// shrinks: the broker's in-flight window limits its length.
type ring[T any] struct {
	slots []T // length is a power of two
	head  int
	count int
}

func (r *ring[T]) len() int { return r.count }

func (r *ring[T]) push(v T) {
	if r.count == len(r.slots) {
		r.grow()
	}
	r.slots[(r.head+r.count)&(len(r.slots)-1)] = v
	r.count++
}

// front returns the oldest element. The ring must not be empty.
func (r *ring[T]) front() *T { return &r.slots[r.head] }

// pop removes the oldest element. The ring must not be empty.
func (r *ring[T]) pop() T {
	var zero T
	v := r.slots[r.head]
	r.slots[r.head] = zero
	r.head = (r.head + 1) & (len(r.slots) - 1)
	r.count--
	return v
}

func (r *ring[T]) grow() {
	slots := make([]T, max(4, 2*len(r.slots)))
	n := copy(slots, r.slots[r.head:])
	copy(slots[n:], r.slots[:r.head])
	r.slots, r.head = slots, 0
}
