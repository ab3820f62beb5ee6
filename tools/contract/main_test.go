package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestContract makes a change that is first reported, then refused, then confirmed.
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

// TestServicesOfOneName breaks one of two versions of a package.
func TestServicesOfOneName(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	lock := filepath.Join(dir, "contract.txt")
	var documents []string
	describe := func(version, topic, qos string) string {
		text := "info: {tags: [{name: e." + version + ".E}]}\nchannels: {E.A: {address: " + topic + "}}\n" +
			"operations: {E.A: {action: send, channel: {$ref: '#/channels/E.A'}, bindings: {mqtt: {qos: " + qos + "}}}}\n"
		file := filepath.Join(dir, version+".asyncapi.yaml")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	documents = append(documents, describe("v1", "a", "1"), describe("v2", "b", "1"))
	if err := run(lock, documents, true, false); err != nil {
		t.Fatal(err)
	}
	describe("v1", "a", "0")
	if err := run(lock, documents, false, false); err == nil || !strings.Contains(err.Error(), "operation e.v1.E.A qos is 0, it was 1") {
		t.Errorf("err = %v, want the lower QoS of v1", err)
	}
	other := filepath.Join(dir, "client.asyncapi.yaml")
	text, err := os.ReadFile(documents[1])
	if err == nil {
		err = os.WriteFile(other, []byte(strings.Replace(string(text), "send", "receive", 1)), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := run(lock, []string{documents[1], other}, true, true); err == nil || !strings.Contains(err.Error(), "operation e.v2.E.A action") {
		t.Errorf("err = %v, want the conflict", err)
	}
}
