package main

import (
	"strings"
	"testing"

	"github.com/kratos-mqtt/kratos-mqtt/bench/internal/meter"
)

// A client that drops messages does not count as the fastest, and neither do our own.
func TestFastestOtherLosesNothing(t *testing.T) {
	r := &result{
		row: row{name: "r", entries: []entry{{name: native}, {name: eng}, {name: paho}, {name: paho5}, {name: atwat}}, goals: []goal{
			{"r-other", native, fastestOther, rate, 1, 2},
		}},
		samples: map[string][]meter.Sample{
			native: {{Rate: 8}, {Rate: 8}},
			eng:    {{Rate: 9}, {Rate: 9}},
			paho:   {{Rate: 1}, {Rate: 1}},
			paho5:  {{Rate: 5}, {Rate: 5, Lost: 0.0001}},
			atwat:  {{Rate: 2}, {Rate: 2}},
		},
	}
	if name := r.fastest(); name != atwat {
		t.Errorf("the fastest is %q, want %q", name, atwat)
	}
	var out strings.Builder
	r.report(&out, 0)
	if want := "ratio r-other 4.00 min 4.00 max 4.00 over at-wat must 1 aim 2\n"; !strings.HasPrefix(out.String(), want) {
		t.Errorf("got %q, want %q", out.String(), want)
	}
	if !strings.Contains(out.String(), "info r paho5 5/s cpu 0.00 µs allocs 0.00 bytes 0 calls 0.000 reorders 0 lost 0.01%") {
		t.Errorf("no line with the loss of the worst round: %s", out.String())
	}
}

// The worst round of our clients counts; losses of others do not.
func TestLossFailsTheRun(t *testing.T) {
	r := &result{
		row: row{name: "r", maxLost: 0.001, entries: []entry{{name: native}, {name: compat}, {name: paho}}},
		samples: map[string][]meter.Sample{
			native: {{}, {Lost: 0.002}, {}},
			compat: {{Lost: 0.001}},
			paho:   {{Lost: 0.5}},
		},
	}
	if over := r.losses(); len(over) != 1 || over[0] != "r native lost 0.20%, at most 0.10%" {
		t.Errorf("got %q", over)
	}
	r.row.maxLost = 0
	if over := r.losses(); over != nil {
		t.Errorf("a row without a limit: %q", over)
	}
}

// Each row of QoS 0 has a limit, and the names of goals are unique.
func TestRowsKeepTheirPromises(t *testing.T) {
	names := make(map[string]bool)
	for _, r := range rows() {
		if strings.Contains(r.name, "qos0") && r.maxLost != 0.001 {
			t.Errorf("%s may lose %g", r.name, r.maxLost)
		}
		for _, g := range r.goals {
			if names[g.name] {
				t.Errorf("two goals are named %s", g.name)
			}
			names[g.name] = true
		}
	}
	if !names["receive-qos0-atwat"] {
		t.Error("nothing compares with the fastest other client")
	}
}
