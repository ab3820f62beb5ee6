package repotest

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// rule lists imports that are forbidden for some packages. Patterns are those of the go command:
// "./internal/biz/..." is that package and all packages below it.
type rule struct {
	why    string
	from   []string // the packages that the rule applies to
	except []string // exceptions of from
	forbid []string // forbidden imports
	allow  []string // exceptions of forbid
	deep   bool     // indirect imports are forbidden, too
}

// check returns every violation of r in g, and whether r applies to any package.
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

// match reports whether path matches pattern; "pattern/..." matches pattern and everything below it.
func match(pattern, path string) bool {
	dir, tree := strings.CutSuffix(pattern, "/...")
	return path == dir || tree && strings.HasPrefix(path, dir+"/")
}
