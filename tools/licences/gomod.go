package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/google/licensecheck"
)

// goModules returns the modules of other authors that packages of the modules in these folders
// import, except for tests, by name.
func goModules(ctx context.Context, own ...string) ([]dependency, error) {
	folders := make(map[string]string)
	for _, folder := range own {
		if err := linked(ctx, folder, folders); err != nil {
			return nil, fmt.Errorf("go list in %s: %w", folder, err)
		}
	}
	var modules []dependency
	for path, dir := range folders {
		licences, err := licencesIn(dir)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		modules = append(modules, dependency{path, licences})
	}
	slices.SortFunc(modules, func(a, b dependency) int { return strings.Compare(a.name, b.name) })
	return modules, nil
}

// linked adds the modules that those of a folder import, with their folders.
func linked(ctx context.Context, folder string, folders map[string]string) error {
	list := exec.CommandContext(ctx, "go", "list", "-deps", "-json=Module", "./...")
	list.Dir = folder
	// The same platform makes the list the same on every machine.
	list.Env = append(os.Environ(), "GOOS=linux", "GOARCH=amd64", "CGO_ENABLED=0")
	list.Stderr = os.Stderr
	out, err := list.Output()
	if err != nil {
		return err
	}
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p struct {
			Module *struct {
				Path    string    `json:"Path"`
				Dir     string    `json:"Dir"`
				Main    bool      `json:"Main"`
				Replace *struct{} `json:"Replace"` // set for this module where the nested one imports it
			} `json:"Module"`
		}
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		if m := p.Module; m != nil && !m.Main && m.Replace == nil {
			folders[m.Path] = m.Dir
		}
	}
}

// licenceFile matches the names of licence files at the root of a module.
var licenceFile = regexp.MustCompile(`(?i)^(licen[cs]e|copying|unlicense)([.-](mit|apache|bsd|txt|md))*$`)

// enough is the share of a file, in percent, that must match known licences. The rest
// may be a copyright line or a note.
const enough = 75

func licencesIn(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var found []string
	for _, entry := range entries {
		if entry.IsDir() || !licenceFile.MatchString(entry.Name()) {
			continue
		}
		text, err := os.ReadFile(filepath.Join(dir, entry.Name()))
		if err != nil {
			return nil, err
		}
		cover := licensecheck.Scan(text)
		if cover.Percent < enough {
			return nil, fmt.Errorf("%s: %.0f%% of it is the text of a known licence, want %d%%", entry.Name(), cover.Percent, enough)
		}
		for _, m := range cover.Match {
			found = append(found, m.ID)
		}
	}
	slices.Sort(found)
	return slices.Compact(found), nil
}
