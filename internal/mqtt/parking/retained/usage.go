package retained

import (
	"context"
	"sync"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event/deadletter"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/logsafe"
)

// taken tracks how much room the letters of this service take, as far as this process
// knows: letters are counted from time to time, and between counts the figure follows what
// this process writes and deletes.
type taken struct {
	mu      sync.Mutex
	usage   *deadletter.Usage
	counted time.Time     // the last count began; zero until then
	cost    time.Duration // of the last count
	seen    map[string]share
}

// share is the size of a letter and its origin.
type share struct {
	origin string
	size   int64
}

const (
	// While there is no room, letters are counted again, because others may have deleted
	// some: not before minRecount and not after maxRecount, and in between so that
	// counting takes about recountShare of the time.
	minRecount   = time.Second
	maxRecount   = time.Minute
	recountShare = 20
	// maxSeen and maxSeenOrigin bound the letters whose deletion is followed.
	maxSeen       = 1000
	maxSeenOrigin = 256
)

func newTaken(b deadletter.Bounds) taken { return taken{usage: deadletter.NewUsage(b)} }

// set stores the result of a count.
func (t *taken) set(usage *deadletter.Usage, began time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.usage, t.counted, t.cost = usage, began, time.Since(began)
}

// saw remembers the size of a letter that was read and may be deleted later.
func (t *taken) saw(l *deadletter.Letter) {
	origin := l.Origin()
	if len(origin) > maxSeenOrigin {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.seen == nil || len(t.seen) >= maxSeen {
		t.seen = make(map[string]share)
	}
	t.seen[l.ID] = share{origin, l.Size()}
}

// sawPage calls saw for the letters of a page that count, and returns the page.
func (t *taken) sawPage(p *listing, page []*deadletter.Letter) []*deadletter.Letter {
	for _, l := range page {
		if _, foreign := p.foreign[l.ID]; !foreign {
			t.saw(l)
		}
	}
	return page
}

// gone records that a letter was deleted. A letter that was not read before is corrected
// by the next count.
func (t *taken) gone(id string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if s, known := t.seen[id]; known {
		delete(t.seen, id)
		t.usage.Add(s.origin, -1, -s.size)
	}
}

// now returns the figure, and whether another count may find more room.
func (t *taken) now() (usage *deadletter.Usage, never, old bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	age := min(max(minRecount, recountShare*t.cost), maxRecount)
	return t.usage, t.counted.IsZero(), time.Since(t.counted) > age
}

// room reserves room for a letter; giveBack releases it. Letters are counted before the
// first letter of a process; from then on the figure follows what this process writes and
// deletes. A failed count does not stop a letter, and an incomplete count is used as it
// is, so that the bounds may be exceeded by the letters that were missing.
func (s *Store) room(ctx context.Context, origin string, size int64) (giveBack func(), err error) {
	if _, never, _ := s.taken.now(); never {
		s.recount(ctx)
	}
	for again := true; ; again = false {
		usage, _, old := s.taken.now()
		err := usage.Take(origin, size)
		if err == nil {
			return func() { usage.Add(origin, -1, -size) }, nil
		}
		if !again || !old {
			return nil, err
		}
		s.recount(ctx)
	}
}

func (s *Store) recount(ctx context.Context) {
	s.taken.mu.Lock()
	s.taken.counted = time.Now() // a failed count is not repeated at once either
	s.taken.mu.Unlock()
	if _, err := s.Stats(ctx); err != nil {
		s.cfg.Log.Warn("mqtt: retained dead letters could not be counted", logsafe.KeyError, err)
	}
}
