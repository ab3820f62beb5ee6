package deadlettertest

import (
	"fmt"
	"slices"
	"strconv"
	"sync"
	"testing"

	"github.com/kratos-mqtt/kratos-mqtt/event/deadletter"
)

func testFilters(t *testing.T, s deadletter.Store) {
	m, ok := s.(deadletter.FilterMemory)
	if !ok {
		t.Skip("the store does not remember filters")
	}
	set := func(clientID string, filters ...string) {
		t.Helper()
		if err := m.SetFilters(t.Context(), clientID, filters); err != nil {
			t.Fatalf("SetFilters %q: %v", clientID, err)
		}
	}
	want := func(clientID string, want ...string) {
		t.Helper()
		got, err := m.Filters(t.Context(), clientID)
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("Filters of %q: %q, %v; want %q", clientID, got, err, want)
		}
	}
	want("nobody")
	set("one", "b", "$share/g/a/+", "é/数", "b")
	set("two", "b")
	want("one", "$share/g/a/+", "b", "é/数")
	set("one", "c", "b")
	want("one", "b", "c")
	want("two", "b")
	put(t, s, Letter(1, deadletter.Dead)) // filters take no room of letters, nor are they listed
	wantCounts(t, s, 1, 0)
	wantList(t, s, deadletter.Query{}, 1)
	set("one")
	set("one")
	want("one")
	want("two", "b")
	var wg sync.WaitGroup
	for n := range 8 {
		wg.Go(func() {
			if err := m.SetFilters(t.Context(), fmt.Sprint("c", n), []string{strconv.Itoa(n)}); err != nil {
				t.Errorf("SetFilters: %v", err)
			}
		})
	}
	wg.Wait()
	for n := range 8 {
		want(fmt.Sprint("c", n), strconv.Itoa(n))
	}
}
