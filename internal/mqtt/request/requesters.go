package request

import (
	"container/list"
	"fmt"
	"hash/maphash"
	"sync"
	"time"
)

// How long a requester whose reply ended a connection is barred.
const (
	firstBar   = 15 * time.Second
	longestBar = time.Hour
	barGrowth  = 4
)

// requesters has the shares of recent requesters. The zero value is ready to use; it is
// safe for concurrent use. Its list is by last use alone, without the origins that a window
// of dedup is divided by.
type requesters struct {
	mu    sync.Mutex
	seed  maphash.Seed
	known map[uint64]*list.Element // of used
	used  list.List                // of *share, the one that was used last in front
}

// share is what one requester has left.
type share struct {
	key     uint64
	at      time.Time // of the numbers
	replies float64
	bytes   float64 // less than 0 after a reply that was larger than what was left
	bar     time.Duration
	until   time.Time // barred
}

// key is that of a requester; names may be long and are not kept.
func (r *requesters) key(parts ...string) uint64 {
	r.mu.Lock()
	if r.known == nil {
		r.known, r.seed = make(map[uint64]*list.Element), maphash.MakeSeed()
	}
	r.mu.Unlock()
	var h maphash.Hash
	h.SetSeed(r.seed)
	for _, p := range parts {
		_, _ = h.WriteString(p)
		_ = h.WriteByte(0) // is in no topic
	}
	return h.Sum64()
}

// admitOf takes a reply of size bytes from the shares of its requester and of its origin
// (0 means no origin), or returns why it has to be dropped. A reply that exceeds the share
// of its requester takes nothing from the share of the origin, which other requesters use,
// too. A new requester is not remembered for a reply that exceeds the share of its origin.
func (r *requesters) admitOf(key, origin uint64, size int, l *Limits, now time.Time) error {
	if origin != 0 {
		if err := r.spent(key, l, now); err != nil {
			return err
		}
		all := l.ofOrigin()
		if err := r.admit(origin, size, &all, now); err != nil {
			return err
		}
	}
	return r.admit(key, size, l, now)
}

// spent returns why a known requester gets no reply, or nil.
func (r *requesters) spent(key uint64, l *Limits, now time.Time) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if at := r.known[key]; at != nil {
		return shareAt(at).room(l, now)
	}
	return nil
}

// admit takes a reply of size bytes from the share of its requester, or returns why it has
// to be dropped.
func (r *requesters) admit(key uint64, size int, l *Limits, now time.Time) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.share(key, l, now)
	if err := s.room(l, now); err != nil {
		return err
	}
	s.replies--
	s.bytes -= float64(size)
	return nil
}

// room returns why there is no room for another reply, or nil, after refilling the share
// up to now.
func (s *share) room(l *Limits, now time.Time) error {
	if left := s.until.Sub(now); left > 0 {
		return fmt.Errorf("the broker ended connections over a reply to this requester, which gets none for another %v", left.Round(time.Second))
	}
	passed := now.Sub(s.at).Minutes()
	s.at = now
	s.replies = min(s.replies+passed*float64(l.PerMinute), float64(l.PerMinute))
	s.bytes = min(s.bytes+passed*float64(l.BytesPerMinute), float64(l.BytesPerMinute))
	switch {
	case s.replies < 1:
		return fmt.Errorf("more than %d replies a minute to one requester (per_minute of the replies)", l.PerMinute)
	case s.bytes <= 0:
		return fmt.Errorf("more than %d bytes of replies a minute to one requester (bytes_per_minute of the replies)", l.BytesPerMinute)
	}
	return nil
}

// barred records that the broker ended connections because of a reply, and returns for how
// long the requester is barred: longer each time, until none did so for an hour.
func (r *requesters) barred(key uint64, l *Limits, now time.Time) time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.share(key, l, now)
	if now.Sub(s.until) > longestBar {
		s.bar = 0
	}
	s.bar = min(max(barGrowth*s.bar, firstBar), longestBar)
	s.until = now.Add(s.bar)
	return s.bar
}

// share returns the share of a requester; a new requester has a full share.
func (r *requesters) share(key uint64, l *Limits, now time.Time) *share {
	if at := r.known[key]; at != nil {
		r.used.MoveToFront(at)
		return shareAt(at)
	}
	for len(r.known) >= l.Requesters {
		r.forget(now)
	}
	s := &share{key: key, at: now, replies: float64(l.PerMinute), bytes: float64(l.BytesPerMinute)}
	r.known[key] = r.used.PushFront(s)
	return s
}

func shareAt(at *list.Element) *share {
	s, _ := at.Value.(*share)
	return s
}

// forgetAmong is the number of least recently used requesters among which forget looks for
// one that is not barred.
const forgetAmong = 16

// forget removes the least recently used requester, preferably one that is not barred.
func (r *requesters) forget(now time.Time) {
	gone := r.used.Back()
	for at, n := gone, 0; at != nil && n < forgetAmong; at, n = at.Prev(), n+1 {
		if !shareAt(at).until.After(now) {
			gone = at
			break
		}
	}
	delete(r.known, shareAt(gone).key)
	r.used.Remove(gone)
}
