package relay

// fifo is a queue that uses its memory again.
type fifo[T any] struct {
	s    []T
	head int
}

func (q *fifo[T]) len() int { return len(q.s) - q.head }

func (q *fifo[T]) push(v T) {
	if q.head > 0 && len(q.s) == cap(q.s) && q.head >= len(q.s)/2 {
		n := copy(q.s, q.s[q.head:])
		clear(q.s[n:])
		q.s, q.head = q.s[:n], 0
	}
	q.s = append(q.s, v)
}

func (q *fifo[T]) peek() (v T, ok bool) {
	if q.len() == 0 {
		return v, false
	}
	return q.s[q.head], true
}

func (q *fifo[T]) pop() (v T, ok bool) {
	v, ok = q.peek()
	if !ok {
		return v, false
	}
	var zero T
	q.s[q.head] = zero
	q.head++
	if q.head == len(q.s) {
		q.s, q.head = q.s[:0], 0
	}
	return v, true
}

func (q *fifo[T]) all(yield func(T) bool) {
	for _, v := range q.s[q.head:] {
		if !yield(v) {
			return
		}
	}
}
