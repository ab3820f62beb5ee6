package profile_test

import (
	"os"
	"path/filepath"
	"testing"

	cliv1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/cli/v1"
	kratosmqttv1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/v1"
	"github.com/kratos-mqtt/kratos-mqtt/tools/kratos-mqtt/internal/profile"
)

// A context that is saved over a file that others can read is readable by this user only, because
// it may have a password.
func TestSavedContextIsPrivate(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	path := filepath.Join(folder, "plant.yaml")
	if err := os.WriteFile(path, []byte("mqtt: {}\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	want := &cliv1.Context{Mqtt: &kratosmqttv1.Connection{Addresses: []string{"mqtt://127.0.0.1:1883"}, Password: "secret"}}
	f := profile.Open(folder)
	if err := f.Save("plant", want); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	if got, err := f.Load("plant"); err != nil || got.GetMqtt().GetPassword() != "secret" {
		t.Errorf("%v, %v", got, err)
	}
	if names, err := f.Names(); err != nil || len(names) != 1 {
		t.Errorf("%v, %v", names, err)
	}
}
