package topic

import (
	"slices"
	"strings"
	"testing"
)

// FuzzTrie registers the filters of a text, one per line, removes some of them
// again, and compares every match with the naive matcher.
func FuzzTrie(f *testing.F) {
	for _, c := range matchCorpus() {
		f.Add(c.filter+"\n#\n"+c.filter, c.name, uint64(2))
	}
	for _, c := range filterCorpus() {
		if len(c.filter) < 100 {
			f.Add("+/#\n"+c.filter, c.filter, uint64(1))
		}
	}
	f.Fuzz(func(t *testing.T, lines, name string, drop uint64) {
		trie := NewTrie[int](ways)
		kept := []int{}
		all := strings.Split(lines, "\n")
		var removes []func()
		for i, filter := range all {
			remove, err := trie.Add(filter, i)
			if (err == nil) != (ValidateFilter(filter) == nil) {
				t.Fatalf("Add(%q): %v", filter, err)
			}
			if err == nil {
				kept, removes = append(kept, i), append(removes, remove)
			}
		}
		check(t, trie, all, kept, name)
		for n, remove := range slices.Backward(removes) {
			if drop>>(n%64)&1 != 0 {
				remove()
				kept = slices.Delete(kept, n, n+1)
				removes = slices.Delete(removes, n, n+1)
			}
		}
		check(t, trie, all, kept, name)
		for _, remove := range removes {
			remove()
		}
		if !trie.root.empty() || trie.Len() != 0 {
			t.Fatal("something is left after all filters were removed")
		}
	})
}

func check(t *testing.T, trie *Trie[int], filters []string, kept []int, name string) {
	t.Helper()
	for _, n := range []string{name, name + "/x", "$" + name, name} {
		var want []int
		for _, i := range kept {
			if Match(filters[i], n) {
				want = append(want, i)
			}
		}
		if got := trie.Match(n); !slices.Equal(got, want) {
			t.Fatalf("%q in %q: %v, want %v", n, filters, got, want)
		}
		if got := trie.MatchBytes([]byte(n)); !slices.Equal(got, want) {
			t.Fatalf("bytes of %q in %q: %v, want %v", n, filters, got, want)
		}
	}
}
