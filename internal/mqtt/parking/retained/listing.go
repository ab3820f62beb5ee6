package retained

import (
	"container/heap"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event/deadletter"
	"github.com/kratos-mqtt/kratos-mqtt/event/message"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/envelope"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/session"
)

const (
	// readAhead is how many bytes of letters one read keeps for the pages that
	// follow: MQTT sends all letters each time.
	readAhead = 32 << 20
	// readAheadAge is how long they count as what the broker has.
	readAheadAge = 30 * time.Second
	// overhead is what a letter takes in memory besides what is in it.
	overhead = 1 << 10
)

// listing is what a read keeps of the letters of a query: the first of them in
// the order of their ids, as many as the bound permits. It counts all.
type listing struct {
	topics topics
	decode decoder
	query  deadletter.Query
	count  int               // retained letters that came, whatever their query
	came   int               // bytes of them
	bytes  int               // of what is kept
	cut    bool              // there are more than what is kept
	usage  *deadletter.Usage // of those that count; nil is not asked for
	size   int64             // of all that came, where usage is asked for
	began  time.Time
	atOnce bool // all letters are those of one filter
	part   struct {
		count, came int // of the filters that are read
	}
	lacking bool // letters of a part may have been dropped on their way

	kept    byID                 // the last id first
	sorted  []*deadletter.Letter // once all came
	foreign map[string]struct{}  // ids of those that take no room
}

// byID has the letter with the last id on top.
type byID []*deadletter.Letter

func (h byID) Len() int           { return len(h) }
func (h byID) Less(i, j int) bool { return h[i].ID > h[j].ID }
func (h byID) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *byID) Push(x any)        { *h = append(*h, x.(*deadletter.Letter)) } //nolint:forcetypeassert // of this type
func (h *byID) Pop() any {
	old := *h
	last := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	return last
}

func newListing(t topics, q deadletter.Query, atOnce bool) *listing {
	return &listing{topics: t, query: q, atOnce: atOnce, began: time.Now(), foreign: make(map[string]struct{})}
}

func (p *listing) keep(m *session.Inbound) error {
	id := p.topics.id(m.Topic)
	if id == "" {
		return nil
	}
	if m.Retain {
		if err := p.countOne(len(m.Topic) + len(m.Payload)); err != nil {
			return err
		}
	}
	if p.usage != nil && m.Retain {
		kept := envelope.Kept(m)
		l, counts := p.decode.letter(&kept, id)
		if p.size += l.Size(); counts {
			p.usage.Add(l.Origin(), 1, l.Size())
		}
	}
	p.put(id, m)
	return nil
}

// put keeps a letter that the query selects.
func (p *listing) put(id string, m *session.Inbound) {
	if id <= p.query.After || p.cut && len(p.kept) > 0 && id >= p.kept[0].ID {
		return
	}
	kept := envelope.Kept(m)
	l, counts := p.decode.letter(&kept, id)
	if !p.query.Matches(l) {
		return
	}
	if !m.Retain { // written just now, perhaps over one that came before
		p.clear(m.Topic)
	}
	heap.Push(&p.kept, l)
	if !counts {
		p.foreign[id] = struct{}{}
	}
	p.bytes += sizeOf(l)
	for p.bytes > readAhead && len(p.kept) > 1 {
		last := heap.Pop(&p.kept).(*deadletter.Letter) //nolint:forcetypeassert // of this type
		p.bytes -= sizeOf(last)
		delete(p.foreign, last.ID)
		p.cut = true
	}
}

func (p *listing) clear(topic string) {
	id := p.topics.id(topic)
	i := slices.IndexFunc(p.kept, func(l *deadletter.Letter) bool { return l.ID == id })
	if i >= 0 {
		p.bytes -= sizeOf(p.kept[i])
		delete(p.foreign, id)
		heap.Remove(&p.kept, i)
	}
}

const (
	// More than fewCount letters of more than fewBytes are read part by part: a
	// broker may drop them when it has to send them in one go.
	fewCount = 100
	fewBytes = 256 << 10
	// Of more than safeCount letters of more than safeBytes in one part a broker
	// may have dropped some: the first is the queue of Mosquitto as it is
	// installed, the second what sockets hold.
	safeCount = 1000
	safeBytes = 1 << 20
)

// errMany ends a read of all letters at once.
var errMany = errors.New("there are too many letters for one read")

// countOne counts a letter of so many bytes.
func (p *listing) countOne(size int) error {
	p.count++
	p.came += size
	p.part.count++
	p.part.came += size
	if p.atOnce && p.count > fewCount && p.came > fewBytes {
		return errMany
	}
	p.lacking = p.lacking || p.part.count > safeCount && p.part.came > safeBytes
	return nil
}

func (p *listing) next() { p.part.count, p.part.came = 0, 0 }

// incomplete is [deadletter.ErrIncomplete] when the broker may have dropped
// letters on their way. They are still retained.
func (p *listing) incomplete() error {
	if !p.lacking {
		return nil
	}
	return fmt.Errorf("%w: %d retained letters came, want at most %d below each of %d topics: a broker may drop what its queue for one client "+
		"does not hold (max_queued_messages of Mosquitto); replay or drop these first, then the others come, or choose a store",
		deadletter.ErrIncomplete, p.count, safeCount, partCount)
}

// done sorts what came.
func (p *listing) done() {
	p.sorted = slices.SortedFunc(slices.Values(p.kept), func(a, b *deadletter.Letter) int { return strings.Compare(a.ID, b.ID) })
	p.kept = nil
}

// follows reports whether the page of q is in what was read for one before it.
func (p *listing) follows(q deadletter.Query) bool {
	same := p.query.State == q.State && p.query.Owner == q.Owner && p.query.Filter == q.Filter && p.query.OverAt.Equal(q.OverAt)
	if !same || q.After == "" || q.After < p.query.After || time.Since(p.began) > readAheadAge {
		return false
	}
	if !p.cut {
		return true
	}
	full, enough := q.Full(), false
	for _, l := range p.after(q) {
		enough = enough || full(l)
	}
	return enough
}

func (p *listing) after(q deadletter.Query) []*deadletter.Letter {
	i, there := slices.BinarySearchFunc(p.sorted, q.After, func(l *deadletter.Letter, id string) int { return strings.Compare(l.ID, id) })
	if there {
		i++
	}
	return p.sorted[i:]
}

// page returns copies, as the caller may change them.
func (p *listing) page(q deadletter.Query) (page []*deadletter.Letter) {
	full := q.Full()
	for _, l := range p.after(q) {
		if full(l) {
			break
		}
		c := *l
		page = append(page, &c)
	}
	return page
}

// without forgets letters that were deleted.
func (p *listing) without(ids []string) {
	for _, id := range ids {
		i, there := slices.BinarySearchFunc(p.sorted, id, func(l *deadletter.Letter, id string) int { return strings.Compare(l.ID, id) })
		if there {
			p.sorted = slices.Delete(p.sorted, i, i+1)
		}
	}
}

// sizeOf is what a letter takes in memory.
func sizeOf(l *deadletter.Letter) int { return overhead + int(l.Size()) }

// oneMessage keeps the messages of a read of one topic.
type oneMessage struct{ last *message.Message }

func (o *oneMessage) keep(m *session.Inbound) error {
	kept := envelope.Kept(m)
	o.last = &kept
	return nil
}

func (o *oneMessage) clear(string) { o.last = nil }

func (o *oneMessage) next() {}
