//go:build unix

package doctest

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
)

// commandLine is the page about the command line.
const commandLine = "docs/guide/command-line.md"

// operators are the commands that this test runs. The tests of the others have brokers of their
// own.
var operators = []string{"context", "status", "letters", "parked", "outbox", "retained", "subscriptions", "check", "completion", "man"}

// TestOperatorCommands runs the lines of the page that ask a service, in their order, at a service
// that has letters, with the in-process broker and with Mosquitto.
func TestOperatorCommands(t *testing.T) {
	t.Parallel()
	for name, broker := range map[string]func(*testing.T) string{
		"in-process": func(*testing.T) string { return "" },
		"mosquitto":  func(t *testing.T) string { t.Helper(); return mqtttest.Mosquitto(t).URL() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := newOperated(t, broker(t))
			ran := make(map[string]bool)
			for _, b := range load(t, commandLine).blocks(t) {
				if b.kind != "sh" {
					continue
				}
				for line := range strings.Lines(b.text) {
					if command := strings.Fields(line)[1]; slices.Contains(operators, command) {
						ran[command] = true
						o.run(t, strings.TrimSpace(line))
					}
				}
			}
			for _, command := range operators {
				if !ran[command] {
					t.Errorf("%s shows no line of kratos-mqtt %s", commandLine, command)
				}
			}
			mqtttest.Eventually(t, patience, func() error {
				if rows := o.must(t, "curl -sS --fail "+o.service.base+"/v1/reports"); !strings.Contains(rows, "mended") {
					return fmt.Errorf("no row of the edited letter: %s", rows)
				}
				return nil
			})
			o.service.interrupt(t)
		})
	}
}

// operated is a service with an operator, and the commands that ask it.
type operated struct {
	service *process
	folder  string // with the programs
	broker  string
	env     []string
}

var mqttAddress = regexp.MustCompile(`mqtt://127\.0\.0\.1:\d+`)

// newOperated builds both programs and starts the service, at a broker or with its own.
func newOperated(t *testing.T, broker string) *operated {
	t.Helper()
	folder := t.TempDir()
	text, err := os.ReadFile(filepath.Join(root, "configs", "config.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	config := filepath.Join(folder, "config.yaml")
	write(t, config, strings.Replace(string(text), "operator: {}", "operator: {archive: archive.jsonl}", 1))
	write(t, filepath.Join(folder, "damaged"), "\xff no protobuf")
	o := &operated{folder: folder, broker: broker}
	o.service = startService(t, fmt.Sprintf("go build -o %s/ ./cmd/... ./tools/kratos-mqtt && cd %[1]s && KM_MQTT_BROKER=%s exec ./%s -conf %s",
		folder, broker, service(t), config))
	if broker == "" {
		o.broker = mqttAddress.FindString(o.service.output.String())
	}
	o.env = append(os.Environ(), "PATH="+folder+":"+os.Getenv("PATH"), "KRATOS_MQTT_HOME="+filepath.Join(folder, "contexts"), "USER=reader",
		"NO_PROXY=127.0.0.1", "no_proxy=127.0.0.1", "KRATOS_MQTT_OPERATOR=", "KRATOS_MQTT_BROKER=")
	return o
}

// service returns the name of the program below cmd.
func service(t *testing.T) string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(root, "cmd", "*", "main.go"))
	if err != nil || len(found) != 1 {
		t.Fatalf("%v, %v", found, err)
	}
	return filepath.Base(filepath.Dir(found[0]))
}

var (
	shownID    = regexp.MustCompile(`\b[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f-]{21}\b`)
	shownGroup = regexp.MustCompile(`--group [0-9a-f]{16}\b`)
)

// run runs a line of the page: with the address of the service, and the id and the group of a
// letter that exists.
func (o *operated) run(t *testing.T, line string) {
	t.Helper()
	if strings.HasPrefix(line, "kratos-mqtt letters ") {
		l := o.letter(t)
		line = shownID.ReplaceAllString(line, l.id)
		line = shownGroup.ReplaceAllString(line, "--group "+l.group)
	}
	out := o.must(t, strings.ReplaceAll(line, shown, o.service.base))
	for part, want := range map[string]string{
		"letters show": "reports/event", "letters groups": "SaveEventReport", "letters list --operation": "reports/event", "--dry-run": "would have ",
		"--rate": "replayed ", "archive": "archived 1,", "letters drop": "deleted ", "letters edit": "replayed", "kratos-mqtt status": "dead letters",
		"subscriptions pause": "paused", "list --stopped": "the database moves", "outbox drain": "the outbox is empty", "--output prometheus": "kratosmqtt_check_state",
		"kratos-mqtt man": ".TH KRATOS", "completion bash": "__complete",
	} {
		if strings.Contains(line, part) && !strings.Contains(out, want) {
			t.Errorf("%s prints no %q:\n%s", line, want, out)
		}
	}
}

// letter is what the page shows of a letter.
type letter struct{ id, group string }

var letterFields = regexp.MustCompile(`"id":"([^"]+)".*"fingerprint":"([^"]+)"`)

// letter publishes a message that no handler can decode, and returns a letter.
func (o *operated) letter(t *testing.T) (l letter) {
	t.Helper()
	o.must(t, "kratos-mqtt publish --broker "+o.broker+" --topic reports/event --file damaged")
	mqtttest.Eventually(t, patience, func() error {
		m := letterFields.FindStringSubmatch(o.must(t, "kratos-mqtt letters list --json --limit 1 --operation SaveEventReport --operator "+o.service.base))
		if m == nil {
			return errors.New("no letter yet")
		}
		l = letter{m[1], m[2]}
		return nil
	})
	return l
}

// must runs a line in a shell. A check may find something.
func (o *operated) must(t *testing.T, line string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "/bin/sh", "-c", line)
	cmd.Dir, cmd.Env = o.folder, o.env
	out, err := cmd.CombinedOutput()
	found := strings.HasPrefix(line, "kratos-mqtt check") && (cmd.ProcessState.ExitCode() == 1 || cmd.ProcessState.ExitCode() == 2)
	if err != nil && !found {
		t.Fatalf("%s\n%v\n%s", line, err, out)
	}
	return string(out)
}
