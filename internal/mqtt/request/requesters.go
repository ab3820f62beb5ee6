package request

import (
	"container/list"
	"fmt"
	"hash/maphash"
	"sync"
	"time"
)

// The bars of a requester whose reply ended a connection.
const (
	firstBar   = 15 * time.Second
	longestBar = time.Hour
	barGrowth  = 4
)

// requesters are the shares of those who got replies lately. The zero value is
// ready; it is safe for concurrent use.
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

// admitOf takes a reply of so many bytes off the shares of its requester and of its
// origin, 0 is none, or returns why it has to be dropped. What the requester has no share
// for takes nothing of its origin's, which others have a part in; one that is not known
// is not remembered for what its origin has no share for.
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

// spent returns why a requester that is known gets no reply.
func (r *requesters) spent(key uint64, l *Limits, now time.Time) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if at := r.known[key]; at != nil {
		return shareAt(at).room(l, now)
	}
	return nil
}

// admit takes a reply of so many bytes off the share of its requester, or returns
// why it has to be dropped.
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

// room returns why there is none for another reply, with the numbers of now.
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

// barred notes that the broker ended connections over a reply, and returns for how
// long its requester gets none: longer each time, until it kept still for an hour.
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

// share returns that of a requester; one that is not known has all of it.
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

// forgetAmong is among how many of the oldest one is looked for that is not barred.
const forgetAmong = 16

// forget makes room: the one that was not used for longest goes, and those that
// are barred after the others.
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
