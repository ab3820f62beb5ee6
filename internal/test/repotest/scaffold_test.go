package repotest

import (
	"bytes"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestScaffold does what `kratos new NAME` does: it copies the tree, replaces the module path byte for byte in
// every file and renames cmd/server. After scripts/rename.sh, a part of make adopt, the copy must build, with the
// nested module, pass vet and the tests of its layers, and serve under its name. Whether NAME is shorter or longer
// than the module path matters to descriptors, which are read at the start.
func TestScaffold(t *testing.T) {
	t.Parallel()
	module := goOutput(t, "list", "-m")
	if !strings.Contains(module, "/") {
		t.Skipf("module %s was itself made by kratos new; nothing is copied from it", module)
	}
	goOutput(t, "list", "-deps", "-test", "./...") // fetches missing modules before the offline steps

	const short = "svc"
	for _, name := range []string{short, "fleet-telemetry-collection-and-warehousing-service"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := scaffold(t, module, name)
			inScaffold(t, dir, "scripts/rename.sh")
			namedAfter(t, dir, name)
			if name == short { // what does not depend on the length of the name
				inScaffold(t, dir, "go", "build", "./...")
				inScaffold(t, dir, "go", "vet", "./cmd/...", "./internal/...")
				inScaffold(t, filepath.Join(dir, "kratosv3"), "go", "vet", "./...")
				inScaffold(t, dir, "go", "test", "./internal/biz/...", "./internal/conf/...", "./internal/service/...")
			}
			inScaffold(t, dir, "go", "build", "-o", "./bin/", "./cmd/...")
			if printed := serveAndStop(t, dir, filepath.Join(dir, "bin", name)); !bytes.Contains(printed, []byte("\n"+name+" dev is running\n")) {
				t.Errorf("the service does not run under the name %s:\n%s", name, printed)
			}
		})
	}
}

// scaffold returns a copy of the tree with the module path replaced by name.
func scaffold(t *testing.T, module, name string) string {
	t.Helper()
	dir := t.TempDir()
	for _, file := range treeFiles(t) {
		info, err := os.Stat(filepath.Join(root, file))
		if err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(filepath.Join(root, file))
		if err != nil {
			t.Fatal(err)
		}
		target := filepath.Join(dir, file)
		if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
			t.Fatal(err)
		}
		text = bytes.ReplaceAll(text, []byte(module), []byte(name))
		if err := os.WriteFile(target, text, info.Mode().Perm()); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Rename(filepath.Join(dir, "cmd", "server"), filepath.Join(dir, "cmd", name)); err != nil {
		t.Fatal(err)
	}
	return dir
}

// namedAfter checks that the client ids of the configuration follow the name, and that no file
// has the former ones.
func namedAfter(t *testing.T, dir, name string) {
	t.Helper()
	for file, id := range map[string]string{"config.yaml": name, "collector.yaml": name + "-collector", "saver.yaml": name + "-saver"} {
		text, err := os.ReadFile(filepath.Join(dir, "configs", file))
		if err != nil {
			t.Fatal(err)
		}
		if want := "${KM_MQTT_CLIENT_ID:" + id + "}"; !bytes.Contains(text, []byte(want)) {
			t.Errorf("%s does not have %s", file, want)
		}
	}
	former := regexp.MustCompile("report-" + "(service|collector|saver)")
	for _, file := range treeFiles(t) {
		if ext := filepath.Ext(file); ext != ".go" && ext != ".md" && ext != ".yaml" {
			continue
		}
		text, err := os.ReadFile(filepath.Join(dir, strings.Replace(file, "cmd/server/", "cmd/"+name+"/", 1)))
		if err != nil {
			t.Fatal(err)
		}
		if found := former.Find(text); found != nil {
			t.Errorf("%s still has %s", file, found)
		}
	}
}

// treeFiles lists the files of a clone once everything here is committed, or all files if there is no
// repository.
func treeFiles(t *testing.T) []string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
	cmd.Dir = root
	if out, err := cmd.Output(); err == nil {
		files := strings.Split(strings.TrimRight(string(out), "\x00"), "\x00")
		return slices.DeleteFunc(files, func(file string) bool {
			_, err := os.Stat(filepath.Join(root, file))
			return err != nil // deleted, but not yet committed
		})
	}
	var files []string
	err := fs.WalkDir(os.DirFS(root), ".", func(path string, entry fs.DirEntry, err error) error {
		if entry.IsDir() && (path == ".git" || path == ".tools" || path == "bin") {
			return filepath.SkipDir
		}
		if !entry.IsDir() {
			files = append(files, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// inScaffold runs a command in dir, offline, without changing go.mod. The next run finds in the cache what
// does not depend on the folder.
func inScaffold(t *testing.T, dir, name string, args ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOFLAGS=-mod=readonly -buildvcs=false -trimpath", "GOPROXY=off", "GOWORK=off")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
}
