package scaffold

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"

	"golang.org/x/mod/modfile"
)

// require completes go.mod and go.sum, and copies the .proto files that those of the service
// import, for editors and other compilers. The checksums of this module's go.sum are taken over,
// so that the versions are those that it was tested with.
func (s Service) require(ctx context.Context, project string) error {
	m, err := s.Library(ctx)
	if err != nil {
		return err
	}
	for name, text := range m.Protos {
		if err := write(filepath.Join(project, filepath.FromSlash(name)), text); err != nil {
			return err
		}
	}
	if err := write(filepath.Join(project, "go.sum"), m.Sums); err != nil {
		return err
	}
	_, err = Go(ctx, project, "mod", "tidy")
	return err
}

// Library is what a project takes from this module besides its packages.
type Library struct {
	// Protos are .proto files that those of the project import, by their paths in the project.
	Protos map[string][]byte
	// Sums are checksums of go.sum.
	Sums []byte
	// GoVersion is the one that go.mod requires.
	GoVersion string
}

// Requirements returns the modules that a service requires.
func (s Service) Requirements() []string {
	if s.Kratos == KratosV3 {
		return []string{OwnModule, OwnModule + FrontV3}
	}
	return []string{OwnModule}
}

// Library reads what a project takes from this module.
func (s Service) Library(ctx context.Context) (*Library, error) {
	m := &Library{Protos: make(map[string][]byte)}
	for _, module := range s.Requirements() {
		source, err := s.source(ctx, module)
		if err != nil {
			return nil, err
		}
		text, err := os.ReadFile(filepath.Join(source, "go.sum"))
		if err != nil {
			return nil, err
		}
		m.Sums = append(m.Sums, text...)
		if module != OwnModule {
			continue
		}
		if text, err = os.ReadFile(filepath.Join(source, "go.mod")); err != nil {
			return nil, err
		}
		f, err := modfile.ParseLax("go.mod", text, nil)
		if err != nil {
			return nil, err
		}
		m.GoVersion = f.Go.Version
		for _, name := range imported {
			name = path.Join("third_party", name)
			if m.Protos[name], err = os.ReadFile(filepath.Join(source, name)); err != nil {
				return nil, err
			}
		}
	}
	return m, nil
}

// source returns the folder of a module: the one that replaces it, or that of the cache.
func (s Service) source(ctx context.Context, module string) (string, error) {
	if s.Replace != "" {
		return filepath.Join(s.Replace, strings.TrimPrefix(module, OwnModule)), nil
	}
	out, err := Go(ctx, ".", "mod", "download", "-json", module+"@"+s.Version)
	if err != nil {
		return "", err
	}
	var found struct {
		Dir string `json:"Dir"`
	}
	if err := json.Unmarshal(out, &found); err != nil || found.Dir == "" {
		return "", errors.Join(fmt.Errorf("%s@%s has no folder: %.200s", module, s.Version, out), err)
	}
	return found.Dir, nil
}

// folderMode is that of folders of a project, which are no secret.
const folderMode = 0o755

func write(file string, text []byte) error {
	if err := os.MkdirAll(filepath.Dir(file), folderMode); err != nil {
		return err
	}
	return os.WriteFile(file, text, 0o644)
}

// Go runs the go command in a folder, and returns its output. An error has what it wrote.
func Go(ctx context.Context, folder string, args ...string) ([]byte, error) {
	c := exec.CommandContext(ctx, "go", args...) //nolint:gosec // names were checked
	c.Dir = folder
	c.Env = GoEnv()
	var problems bytes.Buffer
	c.Stderr = &problems
	out, err := c.Output()
	if err != nil {
		return nil, fmt.Errorf("%s: %w\n%s", strings.Join(c.Args, " "), err, bytes.TrimSpace(problems.Bytes()))
	}
	return out, nil
}

// GoEnv returns the environment of the go command, and of tools that run it.
func GoEnv() []string { return append(os.Environ(), "GOWORK=off", "GOFLAGS=-mod=mod") }

// list returns the files below a folder, relative to it.
func list(folder string) (names []string, err error) {
	err = fs.WalkDir(os.DirFS(folder), ".", func(name string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			names = append(names, name)
		}
		return err
	})
	return names, err
}
