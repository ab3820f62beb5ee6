package repotest

import (
	"slices"
	"strings"
	"testing"
)

// fake is a graph with one violation of each kind.
const fake = `
{"ImportPath": "example.com/m", "Imports": ["example.com/m/biz"]}
{"ImportPath": "example.com/m/biz", "Imports": ["example.com/m/api", "fmt"]}
{"ImportPath": "example.com/m/biz/sub", "Imports": ["example.com/m/data"]}
{"ImportPath": "example.com/m/bizarre", "Imports": ["example.com/m/data"]}
{"ImportPath": "example.com/m/api", "Imports": ["example.org/broker/client"]}
{"ImportPath": "example.com/m/data", "Imports": ["example.org/broker", "example.com/m/api"]}
{"ImportPath": "example.org/broker", "Imports": []}
{"ImportPath": "example.org/broker/client", "Imports": ["example.org/broker"]}
`

func TestRuleFindsBreaches(t *testing.T) {
	t.Parallel()
	g, err := parseGraph(strings.NewReader(fake), "example.com/m")
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		rule rule
		want []string
	}{
		"direct": {
			rule: rule{from: []string{"./biz/..."}, forbid: []string{"./data"}},
			want: []string{"./biz/sub → ./data: "},
		},
		"pattern without dots": {
			rule: rule{from: []string{"./biz"}, forbid: []string{"./data"}},
		},
		"not through others": {
			rule: rule{from: []string{"./biz"}, forbid: []string{"example.org/broker/..."}},
		},
		"through others, by the shortest way": {
			rule: rule{from: []string{"./biz"}, forbid: []string{"example.org/broker/..."}, deep: true},
			want: []string{
				"./biz → ./api → example.org/broker/client → example.org/broker: ",
				"./biz → ./api → example.org/broker/client: ",
			},
		},
		"allowed part": {
			rule: rule{from: []string{"./data"}, forbid: []string{"./...", "example.org/..."}, allow: []string{"./api"}, why: "because"},
			want: []string{"./data → example.org/broker: because"},
		},
		"exempt package": {
			rule: rule{from: []string{"./..."}, except: []string{"./data"}, forbid: []string{"example.org/broker/..."}},
			want: []string{"./api → example.org/broker/client: "},
		},
		"root": {
			rule: rule{from: []string{"."}, forbid: []string{"./biz"}},
			want: []string{". → ./biz: "},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, used := test.rule.check(g)
			slices.Sort(got)
			slices.Sort(test.want)
			if !slices.Equal(got, test.want) {
				t.Errorf("got %q, want %q", got, test.want)
			}
			if !used {
				t.Error("no package matched")
			}
		})
	}
}

func TestRuleTellsWhenItMatchesNothing(t *testing.T) {
	t.Parallel()
	if _, used := (rule{from: []string{"./none/..."}}).check(graph{"./biz": nil}); used {
		t.Error("a rule about no package counts as used")
	}
}

func TestParseGraphRefusesBrokenOutput(t *testing.T) {
	t.Parallel()
	if _, err := parseGraph(strings.NewReader("{"), "m"); err == nil {
		t.Error("no error")
	}
}
