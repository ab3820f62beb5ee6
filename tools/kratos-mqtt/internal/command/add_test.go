package command_test

import (
	"os"
	"strings"
	"testing"

	"github.com/kratos-mqtt/kratos-mqtt/internal/test/kratoslayout"
)

// TestAddAndRemoveProblems are those that both have before they try anything.
func TestAddAndRemoveProblems(t *testing.T) {
	t.Parallel()
	project := t.TempDir()
	kratoslayout.Write(t, project, "v2")
	const root = "../../../.."
	for want, args := range map[string][]string{
		"want 2 to 40 lower-case letters":                 {"add", "--event", "Greeting"},
		"want --replace FOLDER":                           {"add", "--folder", project},
		"want the folder of a Go module":                  {"add", "--folder", t.TempDir(), "--replace", root},
		"cmd: no function calls wire.Build":               {"add", "--folder", root + "/kratosv3", "--replace", root},
		"cmd/job: no function calls wire.Build":           {"add", "--folder", project, "--replace", root, "--command", "job"},
		"name \"x\": want 3 to 40 lower-case letters":     {"add", "--folder", project, "--replace", root, "--name", "x"},
		"change the files of this project: want --yes":    {"add", "--folder", project, "--replace", root},
		"there is no .kratos-mqtt.json: kratos-mqtt add ": {"remove", "--folder", project, "--yes"},
	} {
		if err := begin(t, "", args...).wait(t); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v, want %s", args, err, want)
		}
	}
	if files, err := os.ReadDir(project); err != nil || len(files) != 5 {
		t.Errorf("the project has %v, %v", files, err)
	}
}
