package delivery

import "sync/atomic"

// Doner is notified once that a message is done. [*Entry] implements it.
type Doner interface{ Done() }

// Join returns a Doner that calls all.Done when its own Done was called n
// times: a message is done when every matching handler is. Each of the n calls
// must come from a different handler, once, which [Delivery] ensures. With n =
// 1 Join returns all. With n < 1 there is no handler, and Join calls all.Done
// itself. Further calls do nothing. The result is safe for concurrent use.
func Join(n int, all Doner) Doner {
	switch {
	case n == 1:
		return all
	case n < 1:
		all.Done()
	}
	j := &join{all: all}
	j.left.Store(int64(n))
	return j
}

type join struct {
	left atomic.Int64
	all  Doner
}

func (j *join) Done() {
	if j.left.Add(-1) == 0 {
		j.all.Done()
	}
}
