package doctest

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/event/deadletter"
	"github.com/kratos-mqtt/kratos-mqtt/internal/conf"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
)

// guide is the folder of the tests for docs/guide/events.md, which need the generators. The others
// are those of the examples in docs/guide/fakes.md, and of docs/guide/kratos-v3.md.
const (
	guide      = root + "/tools/internal/guide"
	eventFake  = root + "/mqtttest/eventfake"
	brokerFake = root + "/mqtttest/brokerfake"
	kratosV3   = root + "/kratosv3/transport"
)

// quickstart is the page that TestQuickstart carries out. Its blocks are checked nowhere else.
const quickstart = "docs/guide/quickstart.md"

// Pages whose commands package internal/test/scaffold runs.
const (
	newService      = "docs/guide/scaffold.md"
	existingProject = "docs/guide/add.md"
)

// kinds are the blocks that are checked, each by a test of this package. Tests of guide
// check proto and buf as well, TestPicture of repotest checks mermaid, and TestQuickstart make.
var kinds = []string{"go", "sh", "yaml", "mosquitto", "acl", "erlang", "proto", "buf", "mermaid", "make"}

func TestEveryBlockIsChecked(t *testing.T) {
	t.Parallel()
	for _, d := range documents(t) {
		for _, b := range d.blocks(t) {
			if !slices.Contains(kinds, b.kind) {
				t.Errorf("%s: nothing checks a %q block, want one of %q:\n%s", b.where, b.kind, kinds, b.text)
			}
		}
	}
}

// TestGo checks that each block is part of a file below this folder, of the guide's tests, of
// the examples of the fakes, or of the module kratosv3. Those files are compiled and run. Indentation may differ.
func TestGo(t *testing.T) {
	t.Parallel()
	sources := slices.Concat(goFiles(t, "."), goFiles(t, guide), goFiles(t, eventFake), goFiles(t, brokerFake), goFiles(t, kratosV3))
	for _, b := range blocksOf(t, "go") {
		if b.where == quickstart {
			continue
		}
		here := func(source string) bool { return strings.Contains(source, unindent(b.text)) }
		if !slices.ContainsFunc(sources, here) {
			t.Errorf("%s shows code that is in no file of internal/test/doctest:\n%s", b.where, b.text)
		}
	}
}

// goFiles returns the tests and wirings below a folder, except those of this package.
func goFiles(t *testing.T, dir string) (sources []string) {
	t.Helper()
	err := fs.WalkDir(os.DirFS(dir), ".", func(path string, _ fs.DirEntry, err error) error {
		if err == nil && (strings.HasSuffix(path, "_test.go") || filepath.Base(path) == "wire.go") && filepath.Dir(filepath.Join(dir, path)) != "." {
			text, err := os.ReadFile(filepath.Join(dir, path))
			sources = append(sources, unindent(string(text)))
			return err
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return sources
}

func unindent(text string) string {
	out := "\n"
	for line := range strings.Lines(text) {
		out += strings.TrimSpace(line) + "\n"
	}
	return out
}

// TestProto checks that each block of README.md is part of a .proto file of the sample.
func TestProto(t *testing.T) {
	t.Parallel()
	var sources []string
	files, err := filepath.Glob(root + "/api/*/v1/*.proto")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		sources = append(sources, string(text))
	}
	for _, b := range load(t, "README.md").blocks(t) {
		here := func(source string) bool { return strings.Contains(source, b.text) }
		if b.kind == "proto" && !slices.ContainsFunc(sources, here) {
			t.Errorf("%s shows what is in no .proto file below api:\n%s", b.where, b.text)
		}
	}
}

// TestYAML loads each block as the service does. Load refuses members that the configuration does not
// have.
func TestYAML(t *testing.T) {
	const secret = "from the environment"
	t.Setenv("KM_MQTT_PASSWORD", secret)
	for _, b := range blocksOf(t, "yaml") {
		if b.where == quickstart {
			continue
		}
		file := filepath.Join(t.TempDir(), "config.yaml")
		if err := os.WriteFile(file, []byte(b.text), 0o600); err != nil {
			t.Fatal(err)
		}
		c, err := conf.Load(file)
		if err != nil {
			t.Errorf("%s: %v", b.where, err)
			continue
		}
		if got := c.GetMqtt().GetConnection().GetPassword(); strings.Contains(b.text, "KM_MQTT_PASSWORD") && got != secret {
			t.Errorf("%s: password %q", b.where, got)
		}
		c.GetMqtt().GetConnection().Tls = nil // its files are the reader's
		own := mqttbroker.NewBroker(mqttbroker.WithConnectionConfig(c.GetMqtt().GetConnection()), mqttbroker.WithPublisherConfig(c.GetMqtt().GetPublisher()),
			mqttbroker.WithSubscriberConfig(c.GetServer().GetMqtt()), mqttbroker.WithDeadLetters(deadletter.NewMemory(0)))
		if err := own.Init(); err != nil {
			t.Errorf("%s: %v", b.where, err)
		}
	}
}

// TestMosquitto starts Mosquitto with the lines of each block.
func TestMosquitto(t *testing.T) {
	t.Parallel()
	for _, b := range blocksOf(t, "mosquitto") {
		if strings.Contains(b.text, "\nlistener ") { // it is a file of its own
			continue
		}
		broker := mqtttest.Mosquitto(t, mqtttest.WithConfig(strings.Split(b.text, "\n")...))
		mqtttest.Raw(t, broker.URL()).Connect(4, "readme", true)
	}
}

// TestAccessRules starts Mosquitto with the rules of each block.
func TestAccessRules(t *testing.T) {
	t.Parallel()
	for _, b := range blocksOf(t, "acl") {
		broker := mqtttest.Mosquitto(t, mqtttest.WithACL(strings.Split(b.text, "\n")...))
		mqtttest.Raw(t, broker.URL()).Connect(4, "readme", true)
	}
}

var link = regexp.MustCompile(`\]\(([^)#]+)[^)]*\)`)

// anchored is a link to a heading; its file is empty for the same document.
var anchored = regexp.MustCompile(`\]\(([^)#\s]*)#([^)\s]+)\)`)

// TestLinks checks that links within the repository lead to existing files and headings.
func TestLinks(t *testing.T) {
	t.Parallel()
	for _, d := range append(documents(t), translations(t)...) {
		for _, m := range anchored.FindAllStringSubmatch(d.prose(), -1) {
			if strings.Contains(m[1], "://") {
				continue
			}
			to := d // a link within the document
			if m[1] != "" {
				to.name = filepath.Join(filepath.Dir(d.name), m[1])
				text, err := os.ReadFile(filepath.Join(root, to.name))
				if err != nil {
					continue // it is reported below
				}
				to.text = string(text)
			}
			if !slices.Contains(to.anchors(), m[2]) {
				t.Errorf("%s points to #%s of %s, which has no such heading", d.name, m[2], to.name)
			}
		}
		for _, m := range link.FindAllStringSubmatch(d.prose(), -1) {
			if strings.Contains(m[1], "://") {
				continue
			}
			target := filepath.Join(root, filepath.Dir(d.name), m[1])
			if _, err := os.Stat(target); err != nil {
				t.Errorf("%s points to %s, which is not there", d.name, m[1])
			}
		}
	}
}

var target = regexp.MustCompile("`make ([a-z-]+)")

// TestTargets checks that the make targets that documents name exist.
func TestTargets(t *testing.T) {
	t.Parallel()
	makefile := load(t, "Makefile").text
	for _, d := range documents(t) {
		for _, m := range target.FindAllStringSubmatch(d.text, -1) {
			if !strings.Contains(makefile, "\n"+m[1]+":") {
				t.Errorf("%s names make %s, which the Makefile does not have", d.name, m[1])
			}
		}
	}
}

// TestLength bounds the length of README.md.
func TestLength(t *testing.T) {
	t.Parallel()
	const most = 200
	if n := strings.Count(load(t, "README.md").text, "\n"); n > most {
		t.Errorf("README.md has %d lines, more than %d", n, most)
	}
	for _, b := range load(t, "README.md").blocks(t) {
		if n := strings.Count(b.text, "\n"); n > 30 {
			t.Errorf("README.md has a block of %d lines, more than 30:\n%s", n, b.text)
		}
	}
}
