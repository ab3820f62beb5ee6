package operation

import (
	"context"
	"maps"
	"slices"
	"sort"
	"strings"
)

// Call handles a request, as a handler of Kratos does.
type Call = func(ctx context.Context, req any) (any, error)

// Middleware is put around a call, as middleware of Kratos is.
type Middleware func(Call) Call

// matcher selects the middleware of an operation as Kratos' own servers do: the defaults,
// then those of the exact operation, or else those of the longest prefix. It does not
// change once a chain was built from it: Use creates a new one.
type matcher struct {
	defaults []Middleware
	exact    map[string][]Middleware
	prefixes []string // longest first
}

func (m *matcher) use(ms ...Middleware) { m.defaults = appendSet(m.defaults, ms) }

// appendSet appends middleware that is not nil: nil would panic in the chain.
func appendSet(to, ms []Middleware) []Middleware {
	for _, m := range ms {
		if m != nil {
			to = append(to, m)
		}
	}
	return to
}

// add registers middleware for a selector: an operation, or a prefix with "*"
// at its end.
func (m *matcher) add(selector string, ms ...Middleware) {
	if m.exact == nil {
		m.exact = make(map[string][]Middleware)
	}
	if prefix, ok := strings.CutSuffix(selector, "*"); ok {
		if _, known := m.exact[selector]; !known {
			m.prefixes = append(m.prefixes, prefix)
			sort.Slice(m.prefixes, func(i, j int) bool { return len(m.prefixes[i]) > len(m.prefixes[j]) })
		}
	}
	m.exact[selector] = appendSet(m.exact[selector], ms)
}

// with returns a changed copy.
func (m *matcher) with(change func(*matcher)) *matcher {
	next := &matcher{defaults: slices.Clip(m.defaults), exact: maps.Clone(m.exact), prefixes: slices.Clone(m.prefixes)}
	for selector, ms := range next.exact {
		next.exact[selector] = slices.Clip(ms)
	}
	change(next)
	return next
}

func (m *matcher) match(operation string) []Middleware {
	all := append([]Middleware(nil), m.defaults...)
	if ms, ok := m.exact[operation]; ok {
		return append(all, ms...)
	}
	for _, prefix := range m.prefixes {
		if strings.HasPrefix(operation, prefix) {
			return append(all, m.exact[prefix+"*"]...)
		}
	}
	return all
}
