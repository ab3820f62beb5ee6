package broker

import "strings"

// tree holds subscriptions whose filters have wildcards, with one level of a filter per level
// of the tree.
type tree struct {
	below map[string]*tree
	subs  []*subscription // whose filter ends here
}

// at returns the node of a filter, and creates it if necessary.
func (t *tree) at(filter string) *tree {
	for level := range strings.SplitSeq(filter, "/") {
		next := t.below[level]
		if next == nil {
			if next = new(tree); t.below == nil {
				t.below = make(map[string]*tree)
			}
			t.below[level] = next
		}
		t = next
	}
	return t
}

// remove removes a subscription from the node of a filter, and then the empty nodes.
func (t *tree) remove(filter string, sub *subscription) {
	level, rest, more := strings.Cut(filter, "/")
	next := t.below[level]
	switch {
	case next == nil:
		return
	case more:
		next.remove(rest, sub)
	default:
		next.subs = without(next.subs, sub)
	}
	if len(next.below)+len(next.subs) == 0 {
		delete(t.below, level)
	}
}

// match calls found for every subscription whose filter matches the topic.
func (t *tree) match(topic string, found func(*subscription)) {
	t.walk(topic, topic[0] == '$', found)
}

// walk matches the rest of a topic. Wildcards do not match a first level that starts with $
// [MQTT-4.7.2-1].
func (t *tree) walk(topic string, special bool, found func(*subscription)) {
	name, rest, more := strings.Cut(topic, "/")
	for _, level := range [...]string{name, "+"} {
		next := t.below[level]
		switch {
		case next == nil || (special && level == "+"):
		case more:
			next.walk(rest, false, found)
		default:
			next.each(found)
			next.below["#"].each(found) // it includes the level above it [MQTT-4.7.1-2]
		}
	}
	if !special {
		t.below["#"].each(found)
	}
}

func (t *tree) each(found func(*subscription)) {
	if t != nil {
		for _, sub := range t.subs {
			found(sub)
		}
	}
}
