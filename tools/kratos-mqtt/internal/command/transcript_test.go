package command_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/kratos-mqtt/kratos-mqtt/tools/kratos-mqtt/internal/command"
)

// shell runs commands as a user types them.
type shell struct {
	variables map[string]string
}

var word = regexp.MustCompile(`'[^']*'|[^ ]+`)

// run runs a line, which begins with kratos-mqtt, or with "echo ANSWER |" for a person who
// answers. It returns what the line prints, with the code if it is not 0.
func (u shell) run(t *testing.T, line string) string {
	t.Helper()
	return u.runContext(t.Context(), t, line)
}

// runContext is run for a command that may be interrupted.
func (u shell) runContext(ctx context.Context, t *testing.T, line string) string {
	t.Helper()
	answer, interactive := "", false
	if rest, ok := strings.CutPrefix(line, "echo "); ok {
		interactive = true
		answer, line, _ = strings.Cut(rest, " | ")
	}
	words := word.FindAllString(line, -1)
	for i := range words {
		words[i] = strings.Trim(words[i], "'")
	}
	if words[0] != "kratos-mqtt" {
		t.Fatalf("%q: want kratos-mqtt", line)
	}
	var out, errs bytes.Buffer
	root := command.New(command.Terminal{
		In: strings.NewReader(answer + "\n"), Out: &out, Err: &errs, Interactive: interactive,
		Getenv: func(name string) string { return u.variables[name] },
	})
	root.SetArgs(words[1:])
	err := root.ExecuteContext(ctx)
	text := out.String()
	for part := range strings.SplitSeq(strings.ReplaceAll(errs.String(), "\r\x1b[K", "\n"), "\n") {
		if part != "" {
			text += "! " + part + "\n"
		}
	}
	code := 1
	if exit := new(command.ExitError); errors.As(err, &exit) {
		code = exit.Code
		if exit.Err == nil {
			return text + fmt.Sprintf("exit code %d\n", code)
		}
	}
	if err != nil {
		text += fmt.Sprintf("exit code %d: %v\n", code, err)
	}
	return text
}

var cursors = regexp.MustCompile(`(--cursor |"next":")eyJ[A-Za-z0-9_-]+`)

// TestTranscripts runs the lines that begin with $ in each file of testdata/operator, one after another, at a
// service of its own, and compares what they print. What goes to standard error begins with !.
func TestTranscripts(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/operator/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("%v, %v", files, err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			t.Parallel()
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			p, address := newPlant(t, "")
			u := shell{variables: map[string]string{"KRATOS_MQTT_OPERATOR": address, "KRATOS_MQTT_HOME": t.TempDir(), "USER": "ops"}}
			got := ""
			for line := range strings.Lines(string(want)) {
				if command, ok := strings.CutPrefix(line, "$ "); ok {
					got += line + strings.TrimSuffix(u.run(t, strings.TrimSuffix(command, "\n")), "\n") + "\n"
				} else if strings.HasPrefix(line, "## ") {
					got += line
				}
			}
			got = cursors.ReplaceAllString(strings.ReplaceAll(got, address, "http://plant"), "${1}CURSOR")
			if len(p.audit) > 0 {
				got += "= log of the service: " + strings.Join(p.audit, "; ") + "\n"
			}
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o600); err != nil {
					t.Fatal(err)
				}
				return
			}
			wanted := strings.Split(string(want), "\n")
			for i, line := range strings.Split(got, "\n") {
				if i >= len(wanted) || line != wanted[i] {
					t.Fatalf("line %d is\n%s\nrun with -update, and look at the difference", i+1, line)
				}
			}
		})
	}
}
