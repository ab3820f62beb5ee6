package layout

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// lookAround notes what is around the project that a person should know before the changes.
func (p *Project) lookAround(ctx context.Context) {
	if n := uncommitted(ctx, p.folder); n > 0 {
		p.notes = append(p.notes, fmt.Sprintf("%d files have changes that are not committed: after a commit, git diff shows only what this command changes", n))
	}
	c := exec.CommandContext(ctx, "go", "env", "GOWORK")
	c.Dir = p.folder
	if out, err := c.Output(); err == nil {
		if work := strings.TrimSpace(string(out)); work != "" && work != "off" {
			p.notes = append(p.notes, work+" applies to this folder: the project is built without it here, so go.mod has to be complete")
		}
	}
	if _, err := os.Stat(filepath.Join(p.folder, "vendor", "modules.txt")); err == nil {
		p.notes = append(p.notes, "there is a folder vendor: run go mod vendor afterwards")
	}
}

// uncommitted returns how many files below a folder differ from what Git has. Without Git it is 0.
func uncommitted(ctx context.Context, folder string) int {
	c := exec.CommandContext(ctx, "git", "status", "--porcelain", "--", ".")
	c.Dir = folder
	out, err := c.Output()
	if err != nil {
		return 0
	}
	return bytes.Count(out, []byte("\n"))
}
