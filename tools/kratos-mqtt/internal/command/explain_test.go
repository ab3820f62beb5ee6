package command_test

import (
	"strings"
	"testing"
)

func TestExplain(t *testing.T) {
	t.Parallel()
	for file, c := range map[string]struct {
		err  string
		args []string
	}{
		"explain.txt":        {"", []string{"devices/7/data", "--config", "testdata/service.yaml", "--payload", `{"device_id":"8","temperature":71}`}},
		"explain.jsonl":      {"", []string{"devices/7/data", "--config", "testdata/service.yaml", "--payload", `{"device_id":"8","temperature":71}`, "--json"}},
		"explain-none.txt":   {"no operation handles devices/7/Data", []string{"devices/7/Data"}},
		"explain-none.jsonl": {"no operation handles devices/7/Data", []string{"devices/7/Data", "--json"}},
		"explain-sent.txt":   {"no operation handles alerts/heat", []string{"alerts/heat"}},
	} {
		t.Run(file, func(t *testing.T) {
			t.Parallel()
			p := begin(t, "", append([]string{"explain", "-d", api}, c.args...)...)
			if err := p.wait(t); (err != nil) != (c.err != "") || err != nil && err.Error() != c.err {
				t.Fatalf("err = %v, want %q", err, c.err)
			}
			golden(t, file, p.Out.String())
		})
	}
}

// Notes do not get lost with --json: they are on standard error.
func TestExplainNotes(t *testing.T) {
	t.Parallel()
	p := begin(t, "", "explain", "-d", api, "/devices/7/data", "--json")
	if err := p.wait(t); err == nil || !strings.Contains(p.Err.String(), "its first level is empty") {
		t.Errorf("%v: %s", err, p.Err.String())
	}
}

func TestExplainProblems(t *testing.T) {
	t.Parallel()
	for want, args := range map[string][]string{
		`"devices/+/data" is a filter, want the topic of a message`: {"-d", api, "devices/+/data"},
		"no operations are declared: want --descriptors":            {"devices/7/data"},
		"no such file": {"-d", api, "devices/7/data", "--payload", "@testdata/none"},
		"testdata/service.yaml has no section server.grpc": {"-d", api, "devices/7/data", "-c", "testdata/service.yaml", "--section", "server.grpc"},
		`operation "Gone" is not declared`:                 {"-d", api, "devices/7/data", "--operation", "Gone"},
	} {
		if err := begin(t, "", append([]string{"explain"}, args...)...).wait(t); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", args, err, want)
		}
	}
}
