package server

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/kratos-mqtt/kratos-mqtt/configfile"
	"github.com/kratos-mqtt/kratos-mqtt/internal/conf"
)

// TestConfigFile reads a file as docs/guide/configuration.md shows it.
func TestConfigFile(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := os.Mkdir("configs", 0o700); err != nil {
		t.Fatal(err)
	}
	const text = "server: {http: {addr: '127.0.0.1:0'}}\nmqtt: {connection: {addresses: ['mqtt://127.0.0.1:1'], keepalive: 30s}}\n"
	if err := os.WriteFile(filepath.Join("configs", "config.yaml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	var problems configfile.FileErrors
	if err := load(); !errors.As(err, &problems) || len(problems) != 1 || problems[0].Line != 2 || problems[0].Key != "mqtt.connection.keepalive" {
		t.Errorf("err = %v", err)
	}
}

func load() error {
	bc := new(conf.Bootstrap)
	if err := configfile.Load("configs/config.yaml", bc, bc.Validate); err != nil {
		return err // each problem with file, line and key
	}
	return nil
}
