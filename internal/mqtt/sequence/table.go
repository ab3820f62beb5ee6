package sequence

import (
	"container/heap"
	"container/list"
	"slices"
	"strings"
)

const (
	maxSeries  = 10_000 // in all
	maxSources = 16     // of one topic: the replicas of its publisher, and some that ended
	maxLevels  = 8      // levels of a topic that have a share each
)

// table has the series of all sources. It makes room for new ones so that one publisher
// cannot displace the series of another. A topic that is full loses its least recently
// used series. When the table is full, it descends the levels of the topics, each time
// into the one with the most series below it, and removes one there: a client that may
// publish only below devices/A/, and makes up topics, displaces only series below
// devices/A/. The zero value is ready to use; it is not safe for concurrent use.
type table struct {
	topics map[string]*seriesOf
	root   share
	clock  uint64 // counts uses
}

// seriesOf is a topic with its series, the latest first.
type seriesOf struct {
	name   string
	series []*series
	share  *share
	at     *list.Element // in the topics of its share
}

// find returns the series of a source, which may be new, and the topic that lost a series
// for it, or "".
func (t *table) find(source, topic string) (s *series, lost string) {
	of := t.topics[topic]
	if of != nil {
		if i := slices.IndexFunc(of.series, func(s *series) bool { return s.source == source }); i >= 0 {
			s = of.series[i]
			copy(of.series[1:i+1], of.series[:i])
			of.series[0] = s
			t.use(of)
			return s, ""
		}
	}
	s = &series{source: source}
	if of != nil && len(of.series) == maxSources {
		copy(of.series[1:], of.series)
		of.series[0] = s
		t.use(of)
		return s, of.name
	}
	if t.root.count == maxSeries {
		lost = t.evict()
	}
	of = t.topic(topic)
	of.series = slices.Insert(of.series, 0, s)
	of.share.add(1)
	t.use(of)
	return s, lost
}

// topic returns the topic, new or as it was.
func (t *table) topic(name string) *seriesOf {
	if of := t.topics[name]; of != nil {
		return of
	}
	if t.topics == nil {
		t.topics = make(map[string]*seriesOf)
	}
	name = strings.Clone(name) // it is part of a message
	of := &seriesOf{name: name, share: t.root.of(name)}
	of.at = of.share.topics.PushFront(of)
	t.topics[name] = of
	return of
}

// use notes that a topic is in use.
func (t *table) use(of *seriesOf) {
	t.clock++
	of.share.topics.MoveToFront(of.at)
	for s := of.share; s != nil; s = s.up {
		s.used = t.clock
	}
}

// evict forgets a series where most are, and returns its topic.
func (t *table) evict() (topic string) {
	s := &t.root
	for next := s.heaviest(); next != nil; next = s.heaviest() {
		s = next
	}
	of, _ := s.topics.Back().Value.(*seriesOf)
	of.series = slices.Delete(of.series, len(of.series)-1, len(of.series))
	s.add(-1)
	if len(of.series) == 0 {
		s.topics.Remove(of.at)
		delete(t.topics, of.name)
		s.prune()
	}
	return of.name
}

// share is what topics with the same first levels have.
type share struct {
	up     *share
	level  string
	count  int               // of series, those of the shares below included
	own    int               // of them, those of topics that end here
	used   uint64            // last, by the clock of the table
	noted  uint64            // the same, as the heap of up knows it
	place  int               // in that heap
	below  map[string]*share // by the next level
	heap   shares            // the same, most series first
	topics list.List         // of *seriesOf that end here, the latest first
}

// of returns the share that a topic counts in.
func (s *share) of(topic string) *share {
	for range maxLevels {
		level, rest, more := strings.Cut(topic, "/")
		next := s.below[level]
		if next == nil {
			if s.below == nil {
				s.below = make(map[string]*share)
			}
			next = &share{up: s, level: level}
			s.below[level] = next
			heap.Push(&s.heap, next)
		}
		if s = next; !more {
			break
		}
		topic = rest
	}
	return s
}

// add counts n series more here and in all above.
func (s *share) add(n int) {
	s.own += n
	for ; s != nil; s = s.up {
		if s.count += n; s.up != nil {
			heap.Fix(&s.up.heap, s.place)
		}
	}
}

// heaviest returns the share below with most series, among equals the one that was
// used least lately; nil when the topics that end here have as many.
func (s *share) heaviest() *share {
	for len(s.heap) > 0 && s.heap[0].noted != s.heap[0].used {
		s.heap[0].noted = s.heap[0].used
		heap.Fix(&s.heap, 0)
	}
	if len(s.heap) == 0 || s.own >= s.heap[0].count {
		return nil
	}
	return s.heap[0]
}

// prune takes shares away that have nothing any more.
func (s *share) prune() {
	for ; s.up != nil && s.count == 0; s = s.up {
		heap.Remove(&s.up.heap, s.place)
		delete(s.up.below, s.level)
	}
}

// shares is a heap of those below one, most series first. Its order is by numbers
// that are brought up to date when they are looked at, unlike that of the heap in
// event/dedup.
type shares []*share

var _ heap.Interface = (*shares)(nil)

// Len implements [heap.Interface].
func (h shares) Len() int { return len(h) }

// Less implements [heap.Interface].
func (h shares) Less(i, j int) bool {
	if h[i].count != h[j].count {
		return h[i].count > h[j].count
	}
	return h[i].noted < h[j].noted
}

// Swap implements [heap.Interface].
func (h shares) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].place, h[j].place = i, j
}

// Push implements [heap.Interface].
func (h *shares) Push(x any) {
	if s, ok := x.(*share); ok {
		s.place = len(*h)
		*h = append(*h, s)
	}
}

// Pop implements [heap.Interface].
func (h *shares) Pop() any {
	old := *h
	s := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	return s
}
