package makesource_test

import (
	"testing"

	"github.com/kratos-mqtt/kratos-mqtt/tools/kratos-mqtt/internal/makesource"
)

// TestLines adds lines twice, and removes them twice.
func TestLines(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct{ target, word, line, before, after string }{
		"an option": {
			"api", "--go_out=", "--mqtt_out=.",
			".PHONY: api\n# api\napi:\n\tprotoc -I . \\\n \t       --go_out=. \\\n\t       $(FILES)\n\nbuild:\n\tgo build\n",
			".PHONY: api\n# api\napi:\n\tprotoc -I . \\\n \t       --go_out=. \\\n \t       --mqtt_out=. \\\n\t       $(FILES)\n\nbuild:\n\tgo build\n",
		},
		"the last option": {
			"api", "--go_out=", "--mqtt_out=.",
			"api: config\n\tprotoc $(FILES) \\\n\t  --go_out=.\n", "api: config\n\tprotoc $(FILES) \\\n\t  --go_out=. \\\n\t  --mqtt_out=.\n",
		},
		"a command": {
			"init", "go install ", "go install b", "V := x:y\ninit:\n\tgo install a\n\techo\n", "V := x:y\ninit:\n\tgo install a\n\tgo install b\n\techo\n",
		},
		"at the end": {"init", "go install ", "go install b", "init:\n\tgo install a", "init:\n\tgo install a\n\tgo install b"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			text := []byte(tt.before)
			for range 2 {
				var err error
				if text, err = makesource.After("Makefile", text, tt.target, tt.word, tt.line); err != nil || string(text) != tt.after {
					t.Fatalf("%v\n%s\nwant\n%s", err, text, tt.after)
				}
			}
			for range 2 {
				if text = makesource.Remove(text, tt.target, tt.line); string(text) != tt.before {
					t.Fatalf("got back\n%s\nwant\n%s", text, tt.before)
				}
			}
		})
	}
}

func TestOtherRules(t *testing.T) {
	t.Parallel()
	const text = "api:\n\tbuf generate\n"
	for want, target := range map[string]string{
		"Makefile: there is no rule init": "init", "Makefile:1: the rule api has no line that begins with --go_out=": "api",
	} {
		if _, err := makesource.After("Makefile", []byte(text), target, "--go_out=", "x"); err == nil || err.Error() != want {
			t.Errorf("%v, want %s", err, want)
		}
	}
	if got := makesource.Remove([]byte(text), "init", "x"); string(got) != text {
		t.Errorf("%s", got)
	}
}
