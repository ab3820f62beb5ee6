package bridge

import (
	"errors"
	"fmt"
	"hash/maphash"
	"math"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	v1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/v1"
	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/logsafe"
)

// Defaults of [ReplyLimits].
const (
	defaultReplyLevels     = 16
	defaultReplyLength     = 256
	defaultReplies         = 60_000
	defaultReplyBytes      = 64 << 20
	defaultReplyRequesters = 4096
)

// The bars of a requester whose reply ended a connection.
const (
	firstBar   = 15 * time.Second
	longestBar = time.Hour
	barGrowth  = 4
)

// ReplyLimits bound what a stranger can have the service publish; 0 is the
// default. A requester is what the broker's access rules guard: the topic of the
// request.
type ReplyLimits struct {
	// Levels and Length, in characters, of a response topic.
	Levels, Length int
	// PerMinute are the replies, and BytesPerMinute their bytes, of a requester.
	PerMinute      int
	BytesPerMinute int64
	// Requesters are the most that are remembered.
	Requesters int
}

// merge takes what a service's configuration sets.
func (l *ReplyLimits) merge(c *v1.Replies) {
	put(&l.Levels, int(min(c.GetMaxLevels(), math.MaxInt32)))
	put(&l.Length, int(min(c.GetMaxLength(), math.MaxInt32)))
	put(&l.PerMinute, int(min(c.GetPerMinute(), math.MaxInt32)))
	put(&l.BytesPerMinute, int64(min(c.GetBytesPerMinute(), math.MaxInt64)))
	put(&l.Requesters, int(min(c.GetMaxRequesters(), math.MaxInt32)))
}

// resolved has the defaults filled in.
func (l ReplyLimits) resolved() ReplyLimits {
	fill := func(v *int, or int) {
		if *v == 0 {
			*v = or
		}
	}
	fill(&l.Levels, defaultReplyLevels)
	fill(&l.Length, defaultReplyLength)
	fill(&l.PerMinute, defaultReplies)
	fill(&l.Requesters, defaultReplyRequesters)
	if l.BytesPerMinute == 0 {
		l.BytesPerMinute = defaultReplyBytes
	}
	return l
}

// originShares are what the topics of requests of one origin have together: what
// access rules guard of a topic may have many of them, made up by one device, or be
// a tenant with many devices.
const originShares = 4

// ofOrigin are the limits of all topics of requests of one origin.
func (l ReplyLimits) ofOrigin() ReplyLimits {
	l.PerMinute = min(l.PerMinute, math.MaxInt/originShares) * originShares
	l.BytesPerMinute = min(l.BytesPerMinute, math.MaxInt64/originShares) * originShares
	return l
}

// check looks at the form of a response topic.
func (l *ReplyLimits) check(topic string) error {
	if logsafe.Line(topic) != topic {
		return errors.New("response topic has characters that are not printable")
	}
	if n := utf8.RuneCountInString(topic); n > l.Length {
		return fmt.Errorf("response topic of %d characters, want at most %d (max_length of the replies)", n, l.Length)
	}
	if n := strings.Count(topic, "/") + 1; n > l.Levels {
		return fmt.Errorf("response topic of %d levels, want at most %d (max_levels of the replies)", n, l.Levels)
	}
	return nil
}

// requesters are the shares of those who got replies lately. The zero value is
// ready; it is safe for concurrent use.
type requesters struct {
	mu    sync.Mutex
	seed  maphash.Seed
	known map[uint64]*share

	oldest, newest *share // by their last use
}

// share is what one requester has left.
type share struct {
	key     uint64
	at      time.Time // of the numbers
	replies float64
	bytes   float64 // less than 0 after a reply that was larger than what was left
	bar     time.Duration
	until   time.Time // barred

	older, newer *share
}

// key is that of a requester; names may be long and are not kept.
func (r *requesters) key(parts ...string) uint64 {
	r.mu.Lock()
	if r.known == nil {
		r.known, r.seed = make(map[uint64]*share), maphash.MakeSeed()
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
func (r *requesters) admitOf(key, origin uint64, size int, l *ReplyLimits, now time.Time) error {
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
func (r *requesters) spent(key uint64, l *ReplyLimits, now time.Time) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if s := r.known[key]; s != nil {
		return s.room(l, now)
	}
	return nil
}

// admit takes a reply of so many bytes off the share of its requester, or returns
// why it has to be dropped.
func (r *requesters) admit(key uint64, size int, l *ReplyLimits, now time.Time) error {
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
func (s *share) room(l *ReplyLimits, now time.Time) error {
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
func (r *requesters) barred(key uint64, l *ReplyLimits, now time.Time) time.Duration {
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
func (r *requesters) share(key uint64, l *ReplyLimits, now time.Time) *share {
	s := r.known[key]
	if s == nil {
		for len(r.known) >= l.Requesters {
			r.forget(now)
		}
		s = &share{key: key, at: now, replies: float64(l.PerMinute), bytes: float64(l.BytesPerMinute)}
		r.known[key] = s
	} else {
		r.unlink(s)
	}
	if s.older, s.newer = r.newest, nil; s.older != nil {
		s.older.newer = s
	} else {
		r.oldest = s
	}
	r.newest = s
	return s
}

func (r *requesters) unlink(s *share) {
	if s.older != nil {
		s.older.newer = s.newer
	} else {
		r.oldest = s.newer
	}
	if s.newer != nil {
		s.newer.older = s.older
	} else {
		r.newest = s.older
	}
}

// forgetAmong is among how many of the oldest one is looked for that is not barred.
const forgetAmong = 16

// forget makes room: the one that was not used for longest goes, and those that
// are barred after the others.
func (r *requesters) forget(now time.Time) {
	gone := r.oldest
	for s, n := r.oldest, 0; s != nil && n < forgetAmong; s, n = s.newer, n+1 {
		if !s.until.After(now) {
			gone = s
			break
		}
	}
	r.unlink(gone)
	delete(r.known, gone.key)
}

// overLimit is the error of a reply that is dropped for its requester's share.
func overLimit(topic string, cause error) error {
	return &event.Error{Op: opReply, Topic: clip(topic), Reason: event.ReasonQuota, Cause: cause}
}
