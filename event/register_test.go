package event_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/kratos-mqtt/kratos-mqtt/event"
)

// What is said last of a method counts, one that is named over all, and what nobody
// says is as in proto. A request is never retained, so that nothing is ignored.
func TestRegistrationChoices(t *testing.T) {
	t.Parallel()
	d := &event.ServiceDesc{Name: "test.Events", Methods: []event.MethodDesc{
		{Name: "A", TrustSender: true, IgnoreRetained: true}, {Name: "B"}, {Name: "Ask", IgnoreRetained: true, Reply: &event.ReplyDesc{}},
	}}
	tests := map[string]struct {
		options           []event.RegisterOption
		trusted, retained string // names of the methods
	}{
		"as in proto":           {nil, "A", "A"},
		"all":                   {[]event.RegisterOption{event.TrustSender(true), event.IgnoreRetained(true)}, "A B Ask", "A B"},
		"none":                  {[]event.RegisterOption{event.TrustSender(false), event.IgnoreRetained(false)}, "", ""},
		"one":                   {[]event.RegisterOption{event.TrustSender(true, "B"), event.IgnoreRetained(true, "B")}, "A B", "A B"},
		"all but one":           {[]event.RegisterOption{event.TrustSender(true), event.TrustSender(false, "A")}, "B Ask", "A"},
		"all, after one":        {[]event.RegisterOption{event.TrustSender(false, "A"), event.TrustSender(true)}, "A B Ask", "A"},
		"the last of one":       {[]event.RegisterOption{event.IgnoreRetained(false, "A"), event.IgnoreRetained(true, "A")}, "A", "A"},
		"a request is no event": {[]event.RegisterOption{event.IgnoreRetained(true, "Ask")}, "A", "A"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, err := event.NewRegistration(d, tt.options)
			if err != nil {
				t.Fatal(err)
			}
			var trusted, retained []string
			for i := range d.Methods {
				m := &d.Methods[i]
				if r.TrustsSender(m) {
					trusted = append(trusted, m.Name)
				}
				if r.IgnoresRetained(m) {
					retained = append(retained, m.Name)
				}
			}
			if got := strings.Join(trusted, " "); got != tt.trusted {
				t.Errorf("trusted are %q, want %q", got, tt.trusted)
			}
			if got := strings.Join(retained, " "); got != tt.retained {
				t.Errorf("%q ignore what was retained, want %q", got, tt.retained)
			}
		})
	}
}

func TestRegistrationOfUnknownMethods(t *testing.T) {
	t.Parallel()
	d := &event.ServiceDesc{Name: "test.Events", Methods: []event.MethodDesc{{Name: "A"}}}
	for name, o := range map[string]event.RegisterOption{
		"TrustSender": event.TrustSender(true, "A", "Nothing"), "IgnoreRetained": event.IgnoreRetained(true, "Nothing"),
		"BreakerFor": event.BreakerFor(event.Breaker{}, "Nothing"),
	} {
		if _, err := event.NewRegistration(d, []event.RegisterOption{o}); err == nil || !strings.Contains(err.Error(), `no method "Nothing"`) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// The breaker of a method is the last choice for it; one for all methods overrides those before.
func TestRegistrationBreakers(t *testing.T) {
	t.Parallel()
	d := &event.ServiceDesc{Name: "test.Events", Methods: []event.MethodDesc{{Name: "A"}, {Name: "B"}}}
	of := func(opts ...event.RegisterOption) (failures []int) {
		t.Helper()
		r, err := event.NewRegistration(d, opts)
		if err != nil {
			t.Fatal(err)
		}
		for i := range d.Methods {
			n := -1
			if b := r.Breaker(&d.Methods[i]); b != nil {
				n = b.Failures
			}
			failures = append(failures, n)
		}
		return failures
	}
	three, seven := event.Breaker{Failures: 3}, event.Breaker{Failures: 7}
	for name, tt := range map[string]struct{ got, want []int }{
		"unset":          {of(), []int{-1, -1}},
		"all":            {of(event.BreakerFor(three)), []int{3, 3}},
		"one":            {of(event.BreakerFor(three, "B")), []int{-1, 3}},
		"none for one":   {of(event.BreakerFor(three), event.BreakerFor(event.Breaker{}, "A")), []int{0, 3}},
		"all, after one": {of(event.BreakerFor(three, "A"), event.BreakerFor(seven)), []int{7, 7}},
	} {
		if !slices.Equal(tt.got, tt.want) {
			t.Errorf("%s: %v, want %v", name, tt.got, tt.want)
		}
	}
}
