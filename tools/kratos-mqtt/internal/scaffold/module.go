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
	"path/filepath"
	"strings"
)

// require completes go.mod and go.sum, and copies the .proto files that those of the service
// import, for editors and other compilers. The checksums of this module's go.sum are taken over,
// so that the versions are those that it was tested with.
func (s Service) require(ctx context.Context, project string) error {
	var sums []byte
	modules := []string{ownModule}
	if s.Kratos == KratosV3 {
		modules = append(modules, ownModule+frontV3)
	}
	for _, module := range modules {
		source, err := s.source(ctx, module)
		if err != nil {
			return err
		}
		text, err := os.ReadFile(filepath.Join(source, "go.sum"))
		if err != nil {
			return err
		}
		sums = append(sums, text...)
		if module != ownModule {
			continue
		}
		for _, name := range imported {
			text, err := os.ReadFile(filepath.Join(source, "third_party", name))
			if err != nil {
				return err
			}
			if err := write(filepath.Join(project, "third_party", name), text); err != nil {
				return err
			}
		}
	}
	if err := write(filepath.Join(project, "go.sum"), sums); err != nil {
		return err
	}
	_, err := goCommand(ctx, project, "mod", "tidy")
	return err
}

// source returns the folder of a module: the one that replaces it, or that of the cache.
func (s Service) source(ctx context.Context, module string) (string, error) {
	if s.Replace != "" {
		return filepath.Join(s.Replace, strings.TrimPrefix(module, ownModule)), nil
	}
	out, err := goCommand(ctx, ".", "mod", "download", "-json", module+"@"+s.Version)
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

// goCommand runs the go command in a folder, and returns its output. An error has what it wrote.
func goCommand(ctx context.Context, folder string, args ...string) ([]byte, error) {
	c := exec.CommandContext(ctx, "go", args...) //nolint:gosec // names were checked
	c.Dir = folder
	c.Env = append(os.Environ(), "GOWORK=off", "GOFLAGS=-mod=mod")
	var problems bytes.Buffer
	c.Stderr = &problems
	out, err := c.Output()
	if err != nil {
		return nil, fmt.Errorf("%s: %w\n%s", strings.Join(c.Args, " "), err, bytes.TrimSpace(problems.Bytes()))
	}
	return out, nil
}

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
