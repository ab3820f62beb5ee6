package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"go.uber.org/goleak"

	"github.com/kratos-mqtt/kratos-mqtt/internal/test/postgres"
)

// Set by TestMain before any test runs, and only read afterwards.
var (
	root   string // of the repository
	binary string // of the reference service
)

var testdb = postgres.NewServer()

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "e2e")
	if err == nil {
		err = build(dir)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	goleak.VerifyTestMain(testdb.Main(m), goleak.Cleanup(func(code int) {
		_ = os.RemoveAll(dir)
		os.Exit(code)
	}))
}

// build makes the binary of the one command below cmd, whatever its name.
func build(dir string) (err error) {
	if root, err = filepath.Abs("../../.."); err != nil {
		return err
	}
	commands, err := filepath.Glob(filepath.Join(root, "cmd", "*", "main.go"))
	if err != nil || len(commands) != 1 {
		return fmt.Errorf("want one command below cmd, found %v: %w", commands, err)
	}
	binary = filepath.Join(dir, "service")
	cmd := exec.Command("go", "build", "-o", binary, filepath.Dir(commands[0]))
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go build: %w\n%s", err, out)
	}
	return nil
}
