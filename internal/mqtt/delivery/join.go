package delivery

import "sync/atomic"

// Doner is told once that a message is done. [*Entry] is one.
type Doner interface{ Done() }

// Join returns a Doner that passes on to all when its own Done was called n
// times: a message is done when every matched handler is. Each of the n calls
// must come from a different handler, once; [Delivery] sees to that. With n = 1
// it is all itself. With n < 1 nobody handles the message, which is then done
// at once; further calls do nothing. Safe for concurrent use.
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
