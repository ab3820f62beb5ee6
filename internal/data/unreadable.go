package data

import (
	"sync"
	"time"

	"github.com/go-kratos/kratos/v2/log"
)

// unreadable counts rows that lists leave out. It logs them at most once a minute,
// because every listing meets them again.
type unreadable struct {
	log *log.Helper

	mu     sync.Mutex
	count  int // since the last line
	logged time.Time
}

const unreadableEvery = time.Minute

func (u *unreadable) note(seq int64, err error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.count++
	if !u.logged.IsZero() && time.Since(u.logged) < unreadableEvery {
		return
	}
	u.log.Errorf("a stored row cannot be read and is left out of its list: seq %d (%d unreadable rows since this was last logged): %v", seq, u.count, err)
	u.count, u.logged = 0, time.Now()
}
