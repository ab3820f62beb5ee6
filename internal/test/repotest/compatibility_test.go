package repotest

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestGoVersion checks what RELEASE.md says of go.mod: one oldest version of Go for all modules,
// and no toolchain that Go would download.
func TestGoVersion(t *testing.T) {
	t.Parallel()
	want := ""
	for _, folder := range []string{".", "kratosv3", "bench"} {
		text, err := os.ReadFile(filepath.Join(root, folder, "go.mod"))
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			switch directive, version, _ := strings.Cut(strings.TrimSpace(line), " "); {
			case directive == "toolchain":
				t.Errorf("%s/go.mod names the toolchain %s", folder, version)
			case directive == "go" && want != "" && version != want:
				t.Errorf("%s/go.mod has go %s, another module has %s", folder, version, want)
			case directive == "go":
				want = version
			}
		}
	}
}

// TestCompatibility compares a module with its parent commit, which has no release, and with its
// last release, as make check does.
func TestCompatibility(t *testing.T) {
	t.Parallel()
	apidiff, err := filepath.Abs(filepath.Join(root, ".tools", "apidiff"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(apidiff); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip("make .tools/apidiff builds what compares")
	}
	script, err := filepath.Abs(filepath.Join(root, "scripts", "check-compatibility.sh"))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	file := func(name, text string) {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	git := func(args ...string) {
		cmd := exec.CommandContext(t.Context(), "git", append([]string{"-c", "user.name=test", "-c", "user.email=test@localhost", "-c", "tag.gpgSign=false", "-c", "commit.gpgSign=false"}, args...)...)
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("git %s: %v\n%s", args[0], err, out)
		}
	}
	commit := func() { git("add", "-A"); git("commit", "-q", "-m", "change") }
	check := func(base string, pass bool, want ...string) {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), script, apidiff)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "BASE="+base, "GOFLAGS=", "GOWORK=off")
		out, err := cmd.CombinedOutput()
		if (err == nil) != pass {
			t.Errorf("BASE=%q: %v\n%s", base, err, out)
		}
		for _, text := range want {
			if !strings.Contains(string(out), text) {
				t.Errorf("BASE=%q: no %q in\n%s", base, text, out)
			}
		}
	}

	git("init", "-q")
	file("CHANGELOG.md", "# Changelog\n\n## Unreleased\n\n## v0.1.0\n\n### Breaking changes\n")
	file("go.mod", "module example.com/lib\n\ngo 1.26.0\n")
	file("lib.go", "// Package lib is released.\npackage lib\n\n// F is.\nfunc F() {}\n")
	file("kratosv3/go.mod", "module example.com/lib/kratosv3\n\ngo 1.26.0\n")
	file("kratosv3/three.go", "// Package three is, too.\npackage three\n\n// F is.\nfunc F() {}\n")
	commit()
	check("", true, "example.com/lib: not released yet", "example.com/lib/kratosv3: not released yet")
	file("lib.go", "// Package lib is released.\npackage lib\n\n// F is.\nfunc F() {}\n\n// G is new.\nfunc G() {}\n")
	commit()
	check("HEAD^", true, "example.com/lib: compatible with HEAD^", "example.com/lib/kratosv3: compatible with HEAD^")
	git("tag", "v0.1.0")
	git("tag", "kratosv3/v0.1.0")
	file("kratosv3/three.go", "// Package three is, too.\npackage three\n\n// F is.\nfunc F(int) {}\n")
	check("", false, "example.com/lib: compatible with v0.1.0", "example.com/lib/kratosv3: differs from kratosv3/v0.1.0, but CHANGELOG.md")
	file("CHANGELOG.md", "# Changelog\n\n## Unreleased\n\n### Breaking changes\n\n- F takes a number.\n\n## v0.1.0\n")
	check("", true, "differs from kratosv3/v0.1.0, as CHANGELOG.md announces", "F: changed")
}
