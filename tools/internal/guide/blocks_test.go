//go:build unix

package guide

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"
)

var fence = regexp.MustCompile("(?ms)^```([a-z]+)\n(.*?)^```$")

// blocks returns the code blocks of one kind in the guide.
func blocks(t *testing.T, kind string) (texts []string) {
	t.Helper()
	for _, m := range fence.FindAllStringSubmatch(string(read(t, filepath.Join(root, "docs", "guide", "events.md"))), -1) {
		if m[1] == kind {
			texts = append(texts, m[2])
		}
	}
	if len(texts) == 0 {
		t.Fatalf("the guide has no %q block", kind)
	}
	return texts
}

// TestProto checks that each block is part of the proto that the tests generate from.
func TestProto(t *testing.T) {
	t.Parallel()
	source := string(read(t, "../golden/cases/guide/guide.proto"))
	for _, text := range blocks(t, "proto") {
		if !strings.Contains(source, text) {
			t.Errorf("the guide shows what is not in guide.proto:\n%s", text)
		}
	}
}

// TestBuf checks that the settings of the guide exclude the options from managed mode, and
// generates with the settings if buf is installed.
func TestBuf(t *testing.T) {
	t.Parallel()
	text := blocks(t, "buf")[0]
	var settings struct {
		Managed struct {
			Disable []map[string]string `yaml:"disable"`
		} `yaml:"managed"`
	}
	if err := yaml.Unmarshal([]byte(text), &settings); err != nil {
		t.Fatal(err)
	}
	own := func(d map[string]string) bool { return d["path"] == "kratosmqtt/v1" }
	if !slices.ContainsFunc(settings.Managed.Disable, own) {
		t.Errorf("managed mode is not disabled for kratosmqtt/v1: %+v", settings)
	}
	if _, err := exec.LookPath("buf"); err != nil || !strings.Contains(module, "/") {
		t.Log("buf is not installed, or this is a module made by kratos new: read only")
		return
	}
	dir := newService(t)
	write(t, filepath.Join(dir, "buf.yaml"), []byte("version: v2\nmodules: [{path: api}, {path: third_party}]\n"))
	write(t, filepath.Join(dir, "buf.gen.yaml"), []byte(text))
	run(t, dir, "buf", "generate")
	run(t, dir, "go", "vet", "./api/...")
	if _, err := os.Stat(filepath.Join(dir, "api", "asyncapi.yaml")); err != nil {
		t.Error(err)
	}
}
