package topic

import (
	"cmp"
	"slices"
	"strings"
)

// registration is one value registered under one filter.
type registration[V any] struct {
	order uint64
	value V
}

func (r registration[V]) compare(o registration[V]) int { return cmp.Compare(r.order, o.order) }

// node is a prefix of filters, up to and including one level.
type node[V any] struct {
	literal map[string]*node[V]
	plus    *node[V]
	here    []registration[V] // filters that end here
	tail    []registration[V] // filters that end with # after this level
}

func (n *node[V]) empty() bool {
	return len(n.literal) == 0 && n.plus == nil && len(n.here) == 0 && len(n.tail) == 0
}

func (n *node[V]) add(filter string, r registration[V]) {
	for more := true; more; {
		var level string
		level, filter, more = strings.Cut(filter, "/")
		if level == "#" {
			n.tail = append(n.tail, r)
			return
		}
		n = n.child(level)
	}
	n.here = append(n.here, r)
}

// child returns the node for the next level and creates it if it does not
// exist.
func (n *node[V]) child(level string) *node[V] {
	if level == "+" {
		if n.plus == nil {
			n.plus = new(node[V])
		}
		return n.plus
	}
	c := n.literal[level]
	if c == nil {
		if n.literal == nil {
			n.literal = make(map[string]*node[V])
		}
		c = new(node[V])
		// Clone: the level must not keep a longer text in memory.
		n.literal[strings.Clone(level)] = c
	}
	return c
}

// remove removes one registration and the nodes that become empty, and reports
// whether the registration existed.
func (n *node[V]) remove(filter string, order uint64) bool {
	level, rest, more := strings.Cut(filter, "/")
	if level == "#" {
		return drop(&n.tail, order)
	}
	c := n.plus
	if level != "+" {
		c = n.literal[level]
	}
	if c == nil {
		return false
	}
	var found bool
	if more {
		found = c.remove(rest, order)
	} else {
		found = drop(&c.here, order)
	}
	if found && c.empty() {
		n.prune(level)
	}
	return found
}

func (n *node[V]) prune(level string) {
	if level == "+" {
		n.plus = nil
		return
	}
	delete(n.literal, level)
}

func drop[V any](rs *[]registration[V], order uint64) bool {
	before := len(*rs)
	*rs = slices.DeleteFunc(*rs, func(r registration[V]) bool { return r.order == order })
	return len(*rs) < before
}

// descend appends to found all registrations below n that match name. wild
// reports whether wildcards may match the next level; they must not match a
// first level that starts with $ [MQTT-4.7.2-1].
func (n *node[V]) descend(name string, wild bool, found []registration[V]) []registration[V] {
	level, rest, more := strings.Cut(name, "/")
	if wild {
		found = append(found, n.tail...)
	}
	if c := n.literal[level]; c != nil {
		found = c.arrive(rest, more, found)
	}
	if n.plus != nil && wild {
		found = n.plus.arrive(rest, more, found)
	}
	return found
}

// arrive continues at n with the rest of the name. At the end of the name the
// filters that end with # here match, too, because # includes the level above
// it.
func (n *node[V]) arrive(rest string, more bool, found []registration[V]) []registration[V] {
	if more {
		return n.descend(rest, true, found)
	}
	return append(append(found, n.here...), n.tail...)
}
