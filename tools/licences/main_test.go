package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestRefused(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		licences []string
		want     string // "" if it is accepted
	}{
		"accepted":     {[]string{"Apache-2.0", "BSD-3-Clause"}, ""},
		"none":         {nil, "m: no licence found"},
		"copyleft":     {[]string{"GPL-3.0"}, "m: licence GPL-3.0 is not accepted"},
		"one of two":   {[]string{"MIT", "AGPL-3.0"}, "m: licence AGPL-3.0 is not accepted"},
		"unknown name": {[]string{"SEE LICENSE IN FILE"}, "is not accepted"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := refused([]dependency{{"m", test.licences}})
			switch {
			case test.want == "" && err != nil:
				t.Errorf("got %v, want no error", err)
			case test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)):
				t.Errorf("got %v, want %q in it", err, test.want)
			}
		})
	}
}

func TestChoice(t *testing.T) {
	t.Parallel()
	for expression, want := range map[string][]string{
		"":                       nil,
		"MIT":                    {"MIT"},
		"(GPL-2.0 OR MIT)":       {"MIT"},
		"MIT AND ISC":            {"MIT", "ISC"},
		"GPL-2.0 OR LGPL-3.0":    {"GPL-2.0", "LGPL-3.0"},
		"MIT AND GPL-2.0 OR ISC": {"ISC"},
	} {
		if got := choice(expression); !slices.Equal(got, want) {
			t.Errorf("%q: got %q, want %q", expression, got, want)
		}
	}
}

// The list has what only kratosv3 links, and nothing of our own.
func TestNestedModule(t *testing.T) {
	t.Chdir("../..")
	modules, err := goModules(t.Context(), ".", "kratosv3")
	if err != nil {
		t.Fatal(err)
	}
	names := make(map[string]bool)
	for _, m := range modules {
		names[m.name] = true
	}
	for name, want := range map[string]bool{
		"github.com/go-kratos/kratos/v2": true, "github.com/go-kratos/kratos/v3": true,
		"github.com/kratos-mqtt/kratos-mqtt": false, "github.com/kratos-mqtt/kratos-mqtt/kratosv3": false,
	} {
		if names[name] != want {
			t.Errorf("%s is in the list: %t", name, !want)
		}
	}
}

// Files other than the licence are ignored, and a text that is not a licence is an error.
func TestLicencesIn(t *testing.T) {
	t.Parallel()
	own, err := os.ReadFile("../../LICENSE")
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		files map[string]string
		want  []string
		bad   bool
	}{
		"licence":         {map[string]string{"LICENSE": string(own), "LICENSE-3RD-PARTY.md": "much else"}, []string{"MIT"}, false},
		"nothing":         {map[string]string{"README.md": string(own)}, nil, false},
		"terms of a kind": {map[string]string{"LICENSE.txt": strings.Repeat("You may not use this. ", 50)}, nil, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			for file, text := range test.files {
				if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			got, err := licencesIn(dir)
			if (err != nil) != test.bad || !slices.Equal(got, test.want) {
				t.Errorf("got %q, %v; want %q, an error %t", got, err, test.want, test.bad)
			}
		})
	}
}

// The installed packages are those of the lock file, whose integrity npm checks.
func TestLockFile(t *testing.T) {
	t.Parallel()
	packages, err := npmPackages("../../" + npmLock)
	if err != nil {
		t.Fatal(err)
	}
	if len(packages) < 100 {
		t.Errorf("%d packages, want those below the three that are asked for", len(packages))
	}
	text, err := os.ReadFile("../../" + npmLock)
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(text), `"resolved"`); n > 0 {
		t.Errorf("%d packages name the registry they came from; write the lock file with --omit-lockfile-registry-resolved", n)
	}
	if have, want := strings.Count(string(text), `"integrity"`), strings.Count(string(text), `"node_modules/`); have != want {
		t.Errorf("%d packages have a hash, want %d", have, want)
	}
}
