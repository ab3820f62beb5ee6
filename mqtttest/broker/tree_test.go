package broker

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// The tree finds what matching one filter after the other finds, and nothing is
// left of it when all are removed.
func TestTree(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 1))
	pick := func(from []string, n int) string {
		levels := make([]string, 1+random.IntN(n))
		for i := range levels {
			levels[i] = from[random.IntN(len(from))]
		}
		return strings.Join(levels, "/")
	}
	var wild tree
	var all []*subscription
	for range 2000 {
		filter := pick([]string{"a", "b", "", "$x", "+", "+"}, 4)
		if random.IntN(2) == 0 {
			filter += "/#"
		}
		sub := &subscription{request: request{plain: filter}}
		place := wild.at(filter)
		place.subs = append(place.subs, sub)
		all = append(all, sub)
	}
	for len(all) > 0 {
		for range 50 {
			topic := pick([]string{"a", "b", "", "$x", "c"}, 5)
			if topic == "" {
				continue
			}
			count := make(map[*subscription]int)
			wild.match(topic, func(sub *subscription) { count[sub]++ })
			for _, sub := range all {
				want := 0
				if matches(strings.Split(sub.plain, "/"), topic) {
					want = 1
				}
				if count[sub] != want {
					t.Fatalf("%q found for %q %d times, want %d", sub.plain, topic, count[sub], want)
				}
				delete(count, sub)
			}
			if len(count) > 0 {
				t.Fatalf("found what was removed: %v", count)
			}
		}
		for range min(100, len(all)) {
			i := random.IntN(len(all))
			wild.remove(all[i].plain, all[i])
			all = slices.Delete(all, i, i+1)
		}
	}
	if len(wild.below) > 0 {
		t.Errorf("%v is left", wild.below)
	}
}

// BenchmarkRoute finds the receivers of topics that are not remembered, among
// those of many filters.
func BenchmarkRoute(b *testing.B) {
	const clients, topics = 5000, 4 * maxRoutes
	broker, err := Listen()
	if err != nil {
		b.Fatal(err)
	}
	defer broker.Close()
	broker.core.locked(func() {
		for i := range clients {
			filter := fmt.Sprintf("devices/%d/+", i)
			broker.core.newSession(fmt.Sprint(i), 4).subscribe(request{filter: filter, plain: filter}, 0)
		}
		names := make([][]byte, topics)
		for i := range names {
			names[i] = fmt.Appendf(nil, "devices/%d/data", i)
		}
		b.ResetTimer()
		for i := range b.N {
			broker.core.router.lookup(names[i%topics])
		}
	})
}
