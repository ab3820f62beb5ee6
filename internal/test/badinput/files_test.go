package badinput_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	v1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/v1"
	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/configfile"
	"github.com/kratos-mqtt/kratos-mqtt/internal/test/badinput"
)

// TestBadSettingsInAFile checks file, line and key of every problem when the settings of the
// table are in a file.
func TestBadSettingsInAFile(t *testing.T) {
	t.Parallel()
	dir := tlsFiles(t)
	rows, lines := 0, 0
	for _, row := range configurations(t) {
		path := filepath.Join(t.TempDir(), "config.yaml")
		// Each section is on its own line.
		text := strings.NewReplacer("{{dir}}", dir, `},"`, "},\n\"").Replace(row.Text)
		if err := os.WriteFile(path, []byte("# settings\n"+text), 0o600); err != nil {
			t.Fatal(err)
		}
		c := new(v1.Settings)
		err := configfile.Load(path, c, func() error { return mqttbroker.Check(c, false) })
		var problems configfile.FileErrors
		if !errors.As(err, &problems) {
			t.Errorf("%s/%s: accepted, or %v", row.Rule, row.Case, err)
			continue
		}
		rows++
		for _, p := range problems {
			if strings.Contains(p.Error(), badinput.Secret) {
				t.Errorf("%s/%s: a secret is in %v", row.Rule, row.Case, p)
			}
			if text == "{}" {
				continue // the problem has no key
			}
			if lines++; p.Line < 2 || p.Key == "" || !strings.HasPrefix(p.Error(), path+":") {
				t.Errorf("%s/%s: no file, line and key in: %.300v", row.Rule, row.Case, p)
			}
		}
	}
	if rows < 180 {
		t.Errorf("%d rows, want 180", rows)
	}
	t.Logf("%d files, %d problems", rows, lines)
}
