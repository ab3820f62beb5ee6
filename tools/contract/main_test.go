package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestContract goes the way of a change: it is told, refused, confirmed.
func TestContract(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	lock, document := filepath.Join(dir, "contract.txt"), filepath.Join(dir, "x.asyncapi.yaml")
	describe := func(topic string) {
		text := "channels: {E.A: {address: " + topic + "}}\noperations: {E.A: {action: send, channel: {$ref: '#/channels/E.A'}}}\n"
		if err := os.WriteFile(document, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	step := func(name string, write, confirm bool, want string) {
		t.Helper()
		err := run(lock, []string{document}, write, confirm)
		if got := err != nil; got != (want != "") || got && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: err = %v, want %q", name, err, want)
		}
	}
	describe("a")
	step("no lock", false, false, "make api")
	step("the first", true, false, "")
	step("the same", false, false, "")
	describe("b")
	step("a break", false, false, "operation E.A topic is b, it was a")
	step("a break that is written", true, false, "BREAK=confirmed")
	step("is not in the lock", false, false, "operation E.A topic is b, it was a")
	step("confirmed", true, true, "")
	step("is in the lock", false, false, "")
}
