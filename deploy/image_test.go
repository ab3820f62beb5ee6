package deploy_test

import (
	"debug/elf"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"
)

// instruction is a line of the Dockerfile.
type instruction struct{ name, rest string }

// dockerfile returns the stages of the Dockerfile.
func dockerfile(t *testing.T) (stages [][]instruction) {
	t.Helper()
	b, err := os.ReadFile("Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		name, rest, ok := strings.Cut(line, " ")
		if !ok || strings.HasSuffix(line, `\`) {
			t.Fatalf("Dockerfile: %q is not an instruction on one line", line)
		}
		if name == "FROM" {
			stages = append(stages, nil)
		}
		stages[len(stages)-1] = append(stages[len(stages)-1], instruction{name, rest})
	}
	return stages
}

// find returns what follows the only instruction of a name in the last stage.
func find(t *testing.T, name string) string {
	t.Helper()
	stages := dockerfile(t)
	var found []string
	for _, i := range stages[len(stages)-1] {
		if i.name == name {
			found = append(found, i.rest)
		}
	}
	if len(found) != 1 {
		t.Fatalf("Dockerfile: the last stage has %d of %s", len(found), name)
	}
	return found[0]
}

// imageUser returns the user of the image.
func imageUser(t *testing.T) string {
	t.Helper()
	return find(t, "USER")
}

// The image has one static program, which make builds, and runs it as a user who is not root.
func TestDockerfile(t *testing.T) {
	t.Parallel()
	stages := dockerfile(t)
	for _, i := range slices.Concat(stages...) {
		if !slices.Contains([]string{"FROM", "WORKDIR", "COPY", "RUN", "ARG", "USER", "EXPOSE", "STOPSIGNAL", "ENTRYPOINT", "CMD"}, i.name) {
			t.Errorf("Dockerfile: %s is not checked", i.name)
		}
	}
	if base := find(t, "FROM"); base != "scratch" {
		t.Errorf("the image is made from %s, want scratch", base)
	}
	if user := imageUser(t); !regexp.MustCompile(`^[1-9]\d*:[1-9]\d*$`).MatchString(user) {
		t.Errorf("the user is %q, want numbers other than 0", user)
	}
	if entry := find(t, "ENTRYPOINT"); entry != `["/service"]` {
		t.Errorf("the entry point is %s", entry)
	}
	makes, copies := false, false
	for _, i := range stages[0] {
		makes = makes || i.name == "RUN" && strings.HasPrefix(i.rest, "make static ")
	}
	for _, i := range stages[1] {
		copies = copies || i.name == "COPY" && strings.HasSuffix(i.rest, "/src/bin/static/service /service")
	}
	if !makes || !copies {
		t.Errorf("make static runs: %v, its program is copied: %v", makes, copies)
	}
	mod, err := os.ReadFile("../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	want := regexp.MustCompile(`(?m)^go (\d+\.\d+)`).FindStringSubmatch(string(mod))[1]
	if !strings.HasPrefix(stages[0][0].rest, "golang:"+want+".") {
		t.Errorf("the image is built with %s, and go.mod needs Go %s", stages[0][0].rest, want)
	}
}

// What make static builds needs no file but itself.
func TestProgramIsStatic(t *testing.T) {
	t.Parallel()
	f, err := elf.Open(program(t))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP || p.Type == elf.PT_DYNAMIC {
			t.Errorf("the program has a segment %v", p.Type)
		}
	}
	if libraries, _ := f.ImportedLibraries(); len(libraries) > 0 {
		t.Errorf("the program needs %v", libraries)
	}
}

// The compose file follows the schema of compose, and its services have what they need.
func TestCompose(t *testing.T) {
	t.Parallel()
	options, err := cli.NewProjectOptions([]string{"compose.yaml"}, cli.WithEnv([]string{"KM_OPERATOR_TOKEN=0123456789abcdef"}))
	if err != nil {
		t.Fatal(err)
	}
	project, err := options.LoadProject(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"collector", "saver"} {
		s, err := project.GetService(name)
		if err != nil {
			t.Fatal(err)
		}
		if !s.ReadOnly || !slices.Equal(s.CapDrop, []string{"ALL"}) || s.StopGracePeriod == nil {
			t.Errorf("%s: read only %v, without %v, grace period %v", name, s.ReadOnly, s.CapDrop, s.StopGracePeriod)
		}
		if s.Build == nil || filepath.Base(s.Build.Dockerfile) != "Dockerfile" {
			t.Errorf("%s is not built from the Dockerfile", name)
		}
		checkBinds(t, s)
		for _, p := range s.Ports {
			if p.HostIP != "127.0.0.1" {
				t.Errorf("%s: port %s is published beyond loopback", name, p.Published)
			}
		}
		want := filepath.Join("../configs", filepath.Base(s.Command[len(s.Command)-1]))
		if _, err := os.Stat(want); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := func() (*types.Project, error) {
		options, err := cli.NewProjectOptions([]string{"compose.yaml"})
		if err != nil {
			return nil, err
		}
		return options.LoadProject(t.Context())
	}(); err == nil || !strings.Contains(err.Error(), "set a token") {
		t.Errorf("without a token: %v", err)
	}
}

// checkBinds checks that what is mounted from this repository exists.
func checkBinds(t *testing.T, s types.ServiceConfig) {
	t.Helper()
	for _, v := range s.Volumes {
		if v.Type != types.VolumeTypeBind {
			continue
		}
		if _, err := os.Stat(v.Source); err != nil {
			t.Errorf("%s: %v", s.Name, err)
		}
		if !v.ReadOnly {
			t.Errorf("%s can write to %s", s.Name, v.Source)
		}
	}
}
