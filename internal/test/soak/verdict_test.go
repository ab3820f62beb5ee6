package soak

import (
	"strings"
	"testing"
)

// The verdict detects every kind of problem.
func TestVerdict(t *testing.T) {
	t.Parallel()
	const seed = 7
	some := func(f fate, n int) (ids []id) {
		for i := 0; len(ids) < n; i++ {
			if x := (id{1, 3, i}); x.fate(seed) == f {
				ids = append(ids, x)
			}
		}
		return ids
	}
	good, bad := some(fine, 3), some(poison, 1)[0]
	tests := map[string]struct {
		tell func(v *verdict)
		want string // of the report
		err  string
	}{
		"all handled": {func(v *verdict) {
			v.accept(good[0])
			v.handle(good[0])
		}, "accepted 1 handled 1 dead 0 outbox 0 lost 0 duplicates 0", ""},
		"lost": {func(v *verdict) { v.accept(good[0]) }, "accepted 1 handled 0 dead 0 outbox 0 lost 1", "lost 1: " + good[0].String()},
		"handled twice": {func(v *verdict) {
			v.accept(good[0])
			v.handle(good[0])
			v.handle(good[0])
		}, "lost 0 duplicates 1", ""},
		"not accepted is not lost": {func(v *verdict) { v.handle(good[0]) }, "accepted 0 handled 0", ""},
		"in the outbox": {func(v *verdict) {
			v.accept(good[0])
			v.outbox(good[0])
		}, "outbox 1 lost 0", ""},
		"dead": {func(v *verdict) {
			v.accept(bad)
			v.dead(bad)
		}, "dead 1 outbox 0 lost 0", ""},
		"dead without a reason": {func(v *verdict) {
			v.accept(good[0])
			v.dead(good[0])
		}, "dead 1", "could have been handled"},
		"overtaken": {func(v *verdict) {
			v.handle(good[2])
			v.handle(good[0])
		}, "lost 0", "after a later one"},
		"again, later": {func(v *verdict) {
			v.handle(good[0])
			v.handle(good[1])
			v.handle(good[0])
		}, "duplicates 1", ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v := newVerdict(seed)
			tt.tell(v)
			r := v.report()
			r.Ordered = true
			if got := r.String(); !strings.Contains(got, tt.want) {
				t.Errorf("got %s, want %s", got, tt.want)
			}
			switch err := r.Err(); {
			case tt.err == "" && err != nil:
				t.Error(err)
			case tt.err != "" && (err == nil || !strings.Contains(err.Error(), tt.err)):
				t.Errorf("err = %v, want %s", err, tt.err)
			}
		})
	}
}

func TestIDs(t *testing.T) {
	t.Parallel()
	i := id{1, 63, 1234567}
	if got, ok := parseID(i.String()); !ok || got != i || len(i.String()) != idSize {
		t.Errorf("%v became %v, %t", i, got, ok)
	}
	for _, s := range []string{"", "p1-w63-123456", "x1-w63-1234567", "p1-x63-1234567", "p1-w63-12345678", "p1-wab-1234567"} {
		if _, ok := parseID(s); ok {
			t.Errorf("%q is an id", s)
		}
	}
	seen := make(map[fate]int)
	for n := range 100_000 {
		seen[id{0, 1, n}.fate(1)]++
	}
	for f := range nFates {
		if seen[f] == 0 {
			t.Errorf("no message %v in 100,000", f)
		}
	}
}
