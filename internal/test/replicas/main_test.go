package replicas

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// binary is the reference service. It is set by TestMain before any test runs.
var binary string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "replicas-")
	if err == nil {
		err = build(dir)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	_ = os.RemoveAll(dir)
	os.Exit(code)
}

// build makes the program of the one command below cmd, whatever its name.
func build(dir string) error {
	commands, err := filepath.Glob("../../../cmd/*/main.go")
	if err != nil || len(commands) != 1 {
		return fmt.Errorf("want one command below cmd, found %v: %w", commands, err)
	}
	command, err := filepath.Abs(filepath.Dir(commands[0]))
	if err != nil {
		return err
	}
	binary = filepath.Join(dir, "service")
	cmd := exec.Command("go", "build", "-o", binary, ".")
	cmd.Dir = command
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go build: %w\n%s", err, out)
	}
	return nil
}
