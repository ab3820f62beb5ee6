package console

import (
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// maxTopics bounds the topics that are remembered; further ones are not.
	maxTopics = 10_000
	// maxTopic is the length of a topic that is remembered, in bytes.
	maxTopic = 1024
	// maxChildren is the number of levels in one answer.
	maxChildren = 1000
)

// topics counts the messages of each topic that this process handled or published. The zero
// value is ready for use.
type topics struct {
	known sync.Map // string to *traffic
	count atomic.Int64
	full  atomic.Bool // a topic was left out
}

// traffic is what happened on a topic.
type traffic struct{ count, last atomic.Int64 }

func (t *topics) seen(name string, now time.Time) {
	found, ok := t.known.Load(name)
	if !ok {
		if len(name) > maxTopic || t.count.Load() >= maxTopics {
			t.full.Store(true)
			return
		}
		var loaded bool
		if found, loaded = t.known.LoadOrStore(strings.Clone(name), new(traffic)); !loaded {
			t.count.Add(1)
		}
	}
	x := found.(*traffic) //nolint:forcetypeassert // nothing else is stored
	x.count.Add(1)
	x.last.Store(now.UnixMilli())
}

// topicReport is api/topics: the levels below a topic.
type topicReport struct {
	Topics []level `json:"topics"`
	// Truncated is set if there are more levels, or topics that were not remembered.
	Truncated bool `json:"truncated"`
}

// level is a level of topics. Its counts include what is below.
type level struct {
	Level    string `json:"level"`
	Topic    string `json:"topic"`
	Count    int64  `json:"count"`
	Last     int64  `json:"last_ms"` // Unix time
	Children int    `json:"children"`
}

// below returns the levels below prefix, a topic without a slash at its end, sorted; those of
// the top if root.
func (t *topics) below(prefix string, root bool) topicReport {
	levels := make(map[string]*level)
	t.known.Range(func(key, value any) bool {
		name, x := key.(string), value.(*traffic) //nolint:forcetypeassert // nothing else is stored
		rest := name
		if !root {
			var ok bool
			if rest, ok = strings.CutPrefix(name, prefix+"/"); !ok {
				return true
			}
		}
		first, _, more := strings.Cut(rest, "/")
		l := levels[first]
		if l == nil {
			l = &level{Level: first, Topic: name[:len(name)-len(rest)+len(first)]}
			levels[first] = l
		}
		l.Count += x.count.Load()
		l.Last = max(l.Last, x.last.Load())
		if more {
			l.Children++
		}
		return true
	})
	r := topicReport{Topics: make([]level, 0, len(levels)), Truncated: t.full.Load()}
	for _, name := range slices.Sorted(maps.Keys(levels)) {
		r.Topics = append(r.Topics, *levels[name])
	}
	if len(r.Topics) > maxChildren {
		r.Topics, r.Truncated = r.Topics[:maxChildren], true
	}
	return r
}
