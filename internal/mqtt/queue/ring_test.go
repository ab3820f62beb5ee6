package queue

import (
	"slices"
	"testing"
)

// A ring returns what was pushed, in order, wherever its slice begins.
func TestRing(t *testing.T) {
	t.Parallel()
	var r Ring[int]
	var want []int
	for i := range 1000 {
		r.Push(i)
		want = append(want, i)
		for range i % 3 { // grows and wraps
			if r.Len() == 0 {
				break
			}
			front := *r.Front()
			if v := r.Pop(); v != want[0] || front != v {
				t.Fatalf("front %d, popped %d, want %d", front, v, want[0])
			}
			want = want[1:]
		}
		if got := slices.Collect(r.All); r.Len() != len(want) || !slices.Equal(got, want) {
			t.Fatalf("%d elements %v, want %v", r.Len(), got, want)
		}
	}
	if r.Cap() < r.Len() {
		t.Errorf("room for %d of %d", r.Cap(), r.Len())
	}
	for range r.All {
		break
	}
}
