package topic

import (
	"cmp"
	"slices"
	"strings"
)

// registration is one value under one filter.
type registration[V any] struct {
	order uint64
	value V
}

func (r registration[V]) compare(o registration[V]) int { return cmp.Compare(r.order, o.order) }

// node stands for the levels of filters up to one point.
type node[V any] struct {
	literal map[string]*node[V]
	plus    *node[V]
	here    []registration[V] // filters that end here
	tail    []registration[V] // filters that go on with # and end
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

// child returns the node of the next level and makes it if need be.
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
		// The level must not keep the memory of a longer text alive.
		n.literal[strings.Clone(level)] = c
	}
	return c
}

// remove takes one registration away, with the nodes that it leaves empty,
// and reports whether it was there.
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

// descend appends to found all registrations below n that the levels in name
// belong to. wild reports whether wildcards may take the next level, which they
// may not when it is the first one and starts with $ [MQTT-4.7.2-1].
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

// arrive goes on at n with what is left of the name. At its end also the
// filters match that go on with #, as that takes in the level above it.
func (n *node[V]) arrive(rest string, more bool, found []registration[V]) []registration[V] {
	if more {
		return n.descend(rest, true, found)
	}
	return append(append(found, n.here...), n.tail...)
}
