package layout

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/kratos-mqtt/kratos-mqtt/tools/kratos-mqtt/internal/scaffold"
)

// Step is called with what is done next, which takes its time. An error ends it.
type Step func(what string) error

// trial describes how changes are tried.
type trial struct {
	library *scaffold.Library
	step    Step
	// required is set if go.mod requires the library from now on, and tidy if go.mod changed.
	required, tidy bool
	// modules is the folder with the go.mod that has wire. Default: the copy.
	modules string
}

// try makes the wiring in a copy of the project with the changes, and builds it with its tests. It
// returns go.mod, go.sum and the wiring as they have become.
func (p *Project) try(ctx context.Context, t trial) (made map[string][]byte, err error) {
	if err := t.step("a copy of the project"); err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "kratos-mqtt-trial-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	copied, tools := filepath.Join(dir, "project"), filepath.Join(dir, "tools")
	if err := p.copyTo(copied); err != nil {
		return nil, err
	}
	if err := p.lay(copied); err != nil {
		return nil, err
	}
	m, err := openModule(copied, p.folder)
	if err != nil {
		return nil, err
	}
	if t.required {
		if err := m.require(p.service, t.library); err != nil {
			return nil, err
		}
	}
	if err := m.save(); err != nil {
		return nil, err
	}
	if err := p.carryOut(ctx, t, copied, tools); err != nil {
		return nil, fmt.Errorf("nothing was changed: %w", err)
	}
	made = make(map[string][]byte)
	for _, name := range []string{"go.sum", path.Join(p.command, "wire_gen.go")} {
		if made[name], err = os.ReadFile(filepath.Join(copied, filepath.FromSlash(name))); err != nil {
			return nil, err
		}
	}
	made["go.mod"], err = m.result()
	return made, err
}

// carryOut runs the tools in the copy.
func (p *Project) carryOut(ctx context.Context, t trial, copied, tools string) error {
	if t.required || t.tidy {
		if err := t.step("its modules"); err != nil {
			return err
		}
		if _, err := scaffold.Go(ctx, copied, "mod", "tidy"); err != nil {
			return err
		}
	}
	if err := t.step("its wiring"); err != nil {
		return err
	}
	if t.modules == "" {
		t.modules = copied
	}
	if err := p.wire(ctx, copied, tools, t); err != nil {
		return err
	}
	if err := t.step("its build"); err != nil {
		return err
	}
	return p.builds(ctx, copied)
}

// builds builds the copy with its tests. If that fails, it tries the project as it is, so that the error
// names the side that has the mistake.
func (p *Project) builds(ctx context.Context, copied string) error {
	_, err := scaffold.Go(ctx, copied, "build", "./...")
	if err == nil {
		_, err = scaffold.Go(ctx, copied, "vet", "-atomic", "./...") // one check only: what counts is that tests compile
	}
	if err == nil || ctx.Err() != nil {
		return err
	}
	if _, before := scaffold.Go(ctx, p.folder, "build", "-mod=readonly", "./..."); before != nil {
		return fmt.Errorf("the project does not build as it is: %w", before)
	}
	return fmt.Errorf("the project does not build with the changes: %w", err)
}

// wire runs the version of wire that go.mod has. The tool is built with a go.mod of its own, because
// that of the project lacks what only the tool needs.
func (p *Project) wire(ctx context.Context, copied, tools string, t trial) error {
	if err := os.MkdirAll(tools, 0o700); err != nil {
		return err
	}
	for _, name := range []string{"go.mod", "go.sum"} {
		text, err := os.ReadFile(filepath.Join(t.modules, name))
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(tools, name), text, 0o600); err != nil {
			return err
		}
	}
	m, err := openModule(tools, p.folder)
	if err != nil {
		return err
	}
	m.sums = t.library.Sums
	if err := m.save(); err != nil {
		return err
	}
	tool := filepath.Join(tools, "wire")
	if runtime.GOOS == "windows" {
		tool += ".exe"
	}
	if _, err := scaffold.Go(ctx, copied, "build", "-modfile="+filepath.Join(tools, "go.mod"), "-o", tool, "github.com/google/wire/cmd/wire"); err != nil {
		return err
	}
	c := exec.CommandContext(ctx, tool, "gen", "./"+p.command) //nolint:gosec // a folder of the project
	c.Dir, c.Env = copied, scaffold.GoEnv()
	if out, err := c.CombinedOutput(); err != nil {
		return fmt.Errorf("wire: %w\n%s", err, bytes.TrimSpace(out))
	}
	return nil
}

// copyTo copies the files of the project, without version control and other folders that Go does not build.
func (p *Project) copyTo(folder string) error {
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return err
	}
	from, err := os.OpenRoot(p.folder)
	if err != nil {
		return err
	}
	defer from.Close()
	to, err := os.OpenRoot(folder)
	if err != nil {
		return err
	}
	defer to.Close()
	return fs.WalkDir(from.FS(), ".", func(name string, e fs.DirEntry, err error) error {
		switch {
		case err != nil || name == ".":
			return err
		case e.IsDir() && (e.Name() == ".git" || e.Name() == "node_modules" || name == "vendor"):
			return fs.SkipDir
		case e.IsDir():
			return to.Mkdir(name, 0o700)
		case e.Type()&fs.ModeSymlink != 0:
			link, err := from.Readlink(name)
			if err != nil {
				return err
			}
			return to.Symlink(link, name)
		case !e.Type().IsRegular() || e.Name() == ".git": // a worktree has such a file
			return nil
		}
		text, err := from.ReadFile(name)
		if err != nil {
			return err
		}
		return to.WriteFile(name, text, 0o600)
	})
}

// lay writes the changes over the copy.
func (p *Project) lay(copied string) error {
	for _, name := range p.Files() {
		file := filepath.Join(copied, filepath.FromSlash(name))
		text, err := p.Read(name)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			err = os.Remove(file)
		case err == nil:
			if err = os.MkdirAll(filepath.Dir(file), 0o700); err == nil {
				err = os.WriteFile(file, text, 0o600)
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// local reports whether a module is replaced by a folder that is named from the project's.
func local(replacement string) bool {
	return strings.HasPrefix(replacement, "./") || strings.HasPrefix(replacement, "../")
}
