package yamlsource_test

import (
	"errors"
	"testing"

	"github.com/kratos-mqtt/kratos-mqtt/tools/kratos-mqtt/internal/yamlsource"
)

const section = "mqtt:\n  connection:\n    client_id: shop\n  # a comment\n"

// TestSection adds a section and removes it: nothing else changes, whatever stands around it by then.
func TestSection(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct{ before, after, around, left string }{
		"at the end": {"a: 1\n", "a: 1\n" + section, "a: 2\n" + section + "# end\nb: 3\n", "a: 2\n# end\nb: 3\n"},
		"without a line feed": {
			"a: 1", "a: 1\nmqtt:\n  connection:\n    client_id: shop\n  # a comment",
			"a: 1\nmqtt:\n  connection:\n    client_id: shop\n  # a comment", "a: 1",
		},
		"empty file":     {"", section, section, ""},
		"behind a block": {"a: |\n  text\n\n", "a: |\n  text\n\n" + section, section + "\na: |\n  text\n", "\na: |\n  text\n"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := yamlsource.Add("c.yaml", []byte(tt.before), "mqtt", section)
			if err != nil || string(got) != tt.after {
				t.Fatalf("%v\n%s\nwant\n%s", err, got, tt.after)
			}
			if _, err := yamlsource.Add("c.yaml", got, "mqtt", section); err == nil {
				t.Error("added twice")
			}
			for with, want := range map[string]string{string(got): tt.before, tt.around: tt.left, tt.left: tt.left} {
				back, err := yamlsource.Remove("c.yaml", []byte(with), "mqtt", section, false)
				if err != nil || string(back) != want {
					t.Errorf("%v\n%q\nwant\n%q", err, back, want)
				}
			}
		})
	}
}

func TestChangedSection(t *testing.T) {
	t.Parallel()
	const text = "a: 1\nmqtt:\n  connection:\n    client_id: other\n\n  # mine\n\n# of b\nb: 2\n"
	got, err := yamlsource.Remove("c.yaml", []byte(text), "mqtt", section, false)
	if !errors.Is(err, yamlsource.ErrChanged) || err.Error() != "c.yaml:2: section mqtt was changed" || string(got) != text {
		t.Errorf("%v\n%s", err, got)
	}
	if got, err = yamlsource.Remove("c.yaml", []byte(text), "mqtt", section, true); err != nil || string(got) != "a: 1\n\n# of b\nb: 2\n" {
		t.Errorf("%v\n%s", err, got)
	}
}

func TestOtherFiles(t *testing.T) {
	t.Parallel()
	for want, text := range map[string]string{
		"c.yaml:1: want a mapping, one key a line":               "{a: 1}\n",
		"c.yaml:2: want a mapping, one key a line":               "# list\n- a\n",
		"c.yaml: want one document":                              "a: 1\n---\nb: 1\n",
		"c.yaml: want no end of the document":                    "a: 1\n...\n",
		"c.yaml:2: there is a section mqtt already":              "a: 1\nmqtt: {}\n",
		"c.yaml: yaml: line 1: did not find expected ',' or ']'": "a: [1\n",
	} {
		if _, err := yamlsource.Add("c.yaml", []byte(text), "mqtt", section); err == nil || err.Error() != want {
			t.Errorf("%q: %v, want %s", text, err, want)
		}
	}
}
