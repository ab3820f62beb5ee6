package command

import (
	"fmt"
	"strings"

	"github.com/spf13/pflag"

	"github.com/kratos-mqtt/kratos-mqtt/tools/kratos-mqtt/internal/changeset"
)

// changing has the flags of commands that change the files of a project.
type changing struct{ dry, yes bool }

func (o *changing) flags(f *pflag.FlagSet) {
	f.BoolVarP(&o.dry, "dry-run", "n", false, "show the changes only")
	f.BoolVarP(&o.yes, "yes", "y", false, "do not ask")
}

// changeResult is what such a command writes as JSON.
type changeResult struct {
	Files   []string `json:"files"`
	Diff    string   `json:"diff"`
	Written bool     `json:"written"`
}

// apply shows changes, asks, and writes them. It reports whether anything was written.
func (s *session) apply(set *changeset.Set, o changing) (bool, error) {
	files, diff := set.Files(), set.Diff()
	written := len(files) > 0 && !o.dry
	if !s.json {
		text := diff
		if len(files) == 0 {
			text = "There is nothing to change.\n"
		}
		if _, err := fmt.Fprint(s.Out, printableLines(text)); err != nil {
			return false, err
		}
	}
	if written {
		if err := s.confirm(o.yes, "change these %d files", len(files)); err != nil {
			return false, err
		}
		if err := set.Apply(); err != nil {
			return false, err
		}
	}
	if s.json {
		return written, s.writeJSON(changeResult{files, diff, written})
	}
	return written, nil
}

// printableLines returns lines with tabs that are safe to show.
func printableLines(text string) string {
	var out strings.Builder
	for line := range strings.Lines(text) {
		for i, part := range strings.Split(strings.TrimSuffix(line, "\n"), "\t") {
			if i > 0 {
				out.WriteByte('\t')
			}
			out.WriteString(printable(part))
		}
		out.WriteByte('\n')
	}
	return out.String()
}
