package main

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
)

// npmPackages returns the packages of a lock file, by name.
func npmPackages(lock string) ([]dependency, error) {
	text, err := os.ReadFile(lock)
	if err != nil {
		return nil, err
	}
	var file struct {
		Packages map[string]struct {
			License string `json:"license"`
		} `json:"packages"`
	}
	if err := json.Unmarshal(text, &file); err != nil {
		return nil, fmt.Errorf("%s: %w", lock, err)
	}
	var packages []dependency
	for path, p := range file.Packages {
		if path == "" { // the root package
			continue
		}
		name := path[strings.LastIndex(path, "node_modules/")+len("node_modules/"):]
		packages = append(packages, dependency{name, choice(p.License)})
	}
	slices.SortFunc(packages, func(a, b dependency) int { return strings.Compare(a.name, b.name) })
	return slices.CompactFunc(packages, func(a, b dependency) bool {
		return a.name == b.name && slices.Equal(a.licences, b.licences)
	}), nil
}

// choice returns the licences that an SPDX expression requires. Of "A OR B" it returns
// one, an accepted one if possible.
func choice(expression string) []string {
	expression = strings.Trim(expression, "()")
	if expression == "" {
		return nil
	}
	options := strings.Split(expression, " OR ")
	for _, option := range options {
		all := strings.Split(option, " AND ")
		if !slices.ContainsFunc(all, func(licence string) bool { return !isAccepted(licence) }) {
			return all
		}
	}
	return options
}
