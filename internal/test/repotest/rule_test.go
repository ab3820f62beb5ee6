package repotest

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// rule says what some packages must not import. Patterns are those of the go
// command: "./internal/biz/..." is that package and all below it.
type rule struct {
	why    string
	from   []string // the packages it is about
	except []string // those of them it is not about
	forbid []string // what they must not import
	allow  []string // what of that they may
	deep   bool     // also not through other packages
}

// check returns every breach of r in g, and whether r is about any package.
func (r rule) check(g graph) (breaches []string, used bool) {
	for _, pkg := range slices.Sorted(maps.Keys(g)) {
		if !matchAny(r.from, pkg) || matchAny(r.except, pkg) {
			continue
		}
		used = true
		chains := g.reach(pkg)
		for _, path := range slices.Sorted(maps.Keys(chains)) {
			chain := chains[path]
			if (r.deep || len(chain) == 2) && matchAny(r.forbid, path) && !matchAny(r.allow, path) {
				breaches = append(breaches, fmt.Sprintf("%s: %s", strings.Join(chain, " → "), r.why))
			}
		}
	}
	return breaches, used
}

func matchAny(patterns []string, path string) bool {
	return slices.ContainsFunc(patterns, func(pattern string) bool { return match(pattern, path) })
}

// match reports whether path is pattern, or is it or below it for "pattern/...".
func match(pattern, path string) bool {
	dir, tree := strings.CutSuffix(pattern, "/...")
	return path == dir || tree && strings.HasPrefix(path, dir+"/")
}
