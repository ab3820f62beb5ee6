package topic

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
)

func mustAdd[V any](tb testing.TB, t *Trie[V], filter string, v V) func() {
	tb.Helper()
	remove, err := t.Add(filter, v)
	if err != nil {
		tb.Fatal(err)
	}
	return remove
}

func TestTrieOrderAndDuplicates(t *testing.T) {
	t.Parallel()
	trie := NewTrie[string](0)
	for i, f := range []string{"#", "a/b", "$share/g/a/+", "a/b", "+/b", "a/#", "a/b/#", "x"} {
		mustAdd(t, trie, f, fmt.Sprint(i))
	}
	want := []string{"0", "1", "2", "3", "4", "5", "6"}
	for range 2 { // first from the search, then from the cache
		if got := trie.Match("a/b"); !reflect.DeepEqual(got, want) {
			t.Errorf("Match: %v", got)
		}
		if got := trie.MatchBytes([]byte("a/b")); !reflect.DeepEqual(got, want) {
			t.Errorf("MatchBytes: %v", got)
		}
	}
	if trie.Match("") != nil || trie.MatchBytes(nil) != nil {
		t.Error("the empty name matched")
	}
	if _, err := trie.Add("a#", "x"); err == nil || trie.Len() != 8 {
		t.Errorf("invalid filter: %v, %d registrations", err, trie.Len())
	}
}

// A cached result does not outlive a change of the filters.
func TestTrieChange(t *testing.T) {
	t.Parallel()
	trie := NewTrie[int](0)
	if got := trie.Match("a/b"); got != nil {
		t.Fatalf("empty trie: %v", got)
	}
	removes := []func(){}
	for i, f := range []string{"a/b", "a/+", "a/#", "a/b", "+/b/#"} {
		removes = append(removes, mustAdd(t, trie, f, i))
		if got := len(trie.Match("a/b")); got != i+1 {
			t.Fatalf("after %d filters: %d matches", i+1, got)
		}
	}
	held := trie.Match("a/b")
	for i, remove := range removes {
		remove()
		remove()
		if got := trie.Match("a/b"); !slices.Equal(got, []int{0, 1, 2, 3, 4}[i+1:]) {
			t.Fatalf("after %d removals: %v", i+1, got)
		}
	}
	if !slices.Equal(held, []int{0, 1, 2, 3, 4}) {
		t.Errorf("a slice that was handed out changed: %v", held)
	}
	if !trie.root.empty() || trie.Len() != 0 {
		t.Error("nodes are left")
	}
}

// The cache never exceeds its limit, never holds long names, and the results
// stay correct.
func TestTrieCacheBound(t *testing.T) {
	t.Parallel()
	trie := NewTrie[int](256)
	mustAdd(t, trie, "a/+", 1)
	for i := range 5000 {
		name := fmt.Sprintf("a/%d", i%3000)
		if len(trie.Match(name)) != 1 || len(trie.MatchBytes([]byte(name))) != 1 {
			t.Fatalf("%s is lost", name)
		}
	}
	slots := *trie.cache.table.Load()
	used := 0
	for i := range slots {
		if slots[i].Load() != nil {
			used++
		}
	}
	if len(slots) != 256 || used < 200 {
		t.Errorf("%d slots, %d used", len(slots), used)
	}
	long := "a/" + strings.Repeat("x", maxCachedName)
	if len(trie.Match(long)) != 1 || trie.cache.get(trie.cache.hash(long), long) != nil {
		t.Error("a long name is remembered or not found")
	}
}

// A cache that is large enough keeps every name while it grows.
func TestTrieCacheGrows(t *testing.T) {
	t.Parallel()
	trie := NewTrie[int](0)
	mustAdd(t, trie, "#", 1)
	kept := 0
	for i := range 1000 {
		trie.Match(fmt.Sprint(i))
	}
	for i := range 1000 {
		name := fmt.Sprint(i)
		if trie.cache.get(trie.cache.hash(name), name) != nil {
			kept++
		}
	}
	if kept < 950 {
		t.Errorf("%d of 1000 names are remembered", kept)
	}
}

// The cost of a long name with many levels is limited by the number of nodes of
// the trie.
func TestTrieDeep(t *testing.T) {
	t.Parallel()
	trie := NewTrie[int](0)
	filter := strings.TrimSuffix(strings.Repeat("+/", 1000), "/")
	remove := mustAdd(t, trie, filter, 1)
	mustAdd(t, trie, filter+"/#", 2)
	if got := trie.Match(strings.TrimSuffix(strings.Repeat("a/", 1000), "/")); !slices.Equal(got, []int{1, 2}) {
		t.Errorf("%v", got)
	}
	if got := trie.Match(strings.Repeat("/", MaxLength)); !slices.Equal(got, []int{2}) {
		t.Errorf("%v", got)
	}
	remove()
}

func TestTrieConcurrent(t *testing.T) {
	t.Parallel()
	trie := NewTrie[int](64)
	mustAdd(t, trie, "a/#", 0)
	var writer, readers sync.WaitGroup
	stop := make(chan struct{})
	for range 2 {
		readers.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				got := trie.MatchBytes([]byte(fmt.Sprintf("a/%d", i%200)))
				if len(got) == 0 || got[0] != 0 || !slices.IsSorted(got) {
					t.Errorf("got %v", got)
					return
				}
			}
		})
	}
	writer.Go(func() {
		for i := range 500 {
			remove := mustAdd(t, trie, fmt.Sprintf("a/%d", i%200), i+1)
			if got := trie.Match(fmt.Sprintf("a/%d", i%200)); !slices.Equal(got, []int{0, i + 1}) {
				t.Errorf("after Add: %v", got)
			}
			remove()
			if got := trie.Match(fmt.Sprintf("a/%d", i%200)); !slices.Equal(got, []int{0}) {
				t.Errorf("after remove: %v", got)
			}
		}
	})
	writer.Wait()
	close(stop)
	readers.Wait()
}

func TestTrieNoAllocations(t *testing.T) {
	trie := NewTrie[int](0)
	mustAdd(t, trie, "a/+/c", 1)
	name, b := "a/b/c", []byte("a/b/c")
	trie.Match(name)
	if n := testing.AllocsPerRun(100, func() { trie.Match(name) }); n != 0 {
		t.Errorf("Match: %v allocations", n)
	}
	if n := testing.AllocsPerRun(100, func() { trie.MatchBytes(b) }); n != 0 {
		t.Errorf("MatchBytes: %v allocations", n)
	}
}

// filters returns n filters of different shapes; the first matches name(i).
func filters(n int) []string {
	out := []string{"devices/+/data"}
	for i := 1; i < n; i++ {
		out = append(out, fmt.Sprintf([]string{"site/%d/state", "site/%d/+/temp", "site/%d/#"}[i%3], i))
	}
	return out
}

func BenchmarkTrieMatch(b *testing.B) {
	for _, n := range []int{1, 100, 10_000} {
		trie := NewTrie[int](0)
		for i, f := range filters(n) {
			mustAdd(b, trie, f, i)
		}
		names := make([][]byte, 500)
		for i := range names {
			names[i] = fmt.Appendf(nil, "devices/%d/data", i)
		}
		b.Run(fmt.Sprintf("hit/%d", n), func(b *testing.B) {
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				if len(trie.MatchBytes(names[i%len(names)])) != 1 {
					b.Fatal("lost")
				}
			}
		})
		b.Run(fmt.Sprintf("miss/%d", n), func(b *testing.B) {
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				trie.cache.clear()
				if len(trie.MatchBytes(names[i%len(names)])) != 1 {
					b.Fatal("lost")
				}
			}
		})
	}
}

func BenchmarkTrieAdd(b *testing.B) {
	fs := filters(10_000)
	b.ReportAllocs()
	for b.Loop() {
		trie := NewTrie[int](0)
		for i, f := range fs {
			mustAdd(b, trie, f, i)
		}
	}
}

func BenchmarkNaiveMatch(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		Match("devices/+/data", "devices/4711/data")
	}
}
