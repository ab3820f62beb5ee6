package broker

import (
	"strconv"
	"strings"
	"testing"
)

// The cache of routes is limited in bytes, whatever topics are published on.
func TestCachedRoutesAreBounded(t *testing.T) {
	t.Parallel()
	r := newRouter(&options{})
	long := strings.Repeat("x", 40_000)
	for i := range 2000 {
		r.lookup([]byte(strconv.Itoa(i) + long))
		if r.cached > maxRouteBytes || len(r.routes) > maxRoutes {
			t.Fatalf("%d topics with %d bytes are cached", len(r.routes), r.cached)
		}
	}
	if r.lookup([]byte("short")); len(r.routes) == 0 {
		t.Error("nothing is cached")
	}
	if r.forget(); r.cached != 0 || len(r.routes) != 0 {
		t.Errorf("%d topics with %d bytes are left", len(r.routes), r.cached)
	}
}
