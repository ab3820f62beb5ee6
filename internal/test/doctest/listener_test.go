//go:build unix

package doctest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/tx7do/kratos-transport/broker"

	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/internal/test/port"
)

// TestListener runs Mosquitto with the listener for devices and the access rules of the guide, with other
// paths: a device connects with its password and its login as the client id, and publishes on its own
// topics.
func TestListener(t *testing.T) {
	t.Parallel()
	for _, program := range []string{"mosquitto", "mosquitto_passwd"} {
		if _, err := exec.LookPath(program); err != nil {
			missing(t, program)
		}
	}
	dir, number := t.TempDir(), port.Of(t)
	for _, b := range blocksOf(t, "acl") {
		if strings.HasPrefix(b.where, "docs/guide/trust.md") {
			write(t, filepath.Join(dir, "acl"), b.text)
		}
	}
	write(t, filepath.Join(dir, "passwords"), "")
	run := exec.CommandContext(t.Context(), "mosquitto_passwd", "-b", filepath.Join(dir, "passwords"), "d1", "secret")
	if out, err := run.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	shown := 0
	for _, b := range blocksOf(t, "mosquitto") {
		if !strings.Contains(b.text, "\nlistener ") {
			continue
		}
		shown++
		text := strings.ReplaceAll(b.text, "/etc/mosquitto/", dir+"/")
		text = regexp.MustCompile(`(?m)^listener \d+$`).ReplaceAllString(text, fmt.Sprintf("listener %d 127.0.0.1", number))
		write(t, filepath.Join(dir, "mosquitto.conf"), text+"user root\n") // otherwise a process of root drops its rights and cannot read our files
	}
	if shown != 1 {
		t.Fatalf("%d blocks with a listener, want 1", shown)
	}
	ctx, cancel := context.WithCancel(context.Background())
	mosquitto := exec.CommandContext(ctx, "mosquitto", "-c", filepath.Join(dir, "mosquitto.conf"))
	if err := mosquitto.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cancel(); _ = mosquitto.Wait() })

	p, err := mqttbroker.NewPublisher(broker.WithAddress(fmt.Sprintf("mqtt://127.0.0.1:%d", number)), mqttbroker.WithProtocol("5"),
		mqttbroker.WithAuth("d1", "secret"), mqttbroker.WithClientId("another"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Stop(context.Background()) })
	connecting, done := context.WithTimeout(t.Context(), patience)
	defer done()
	if err := p.Start(connecting); err != nil {
		t.Fatal(err)
	}
	if err := p.Publish(t.Context(), "devices/d1/data", []byte("{}"), event.QoS(1)); err != nil {
		t.Error(err)
	}
	err = p.Publish(t.Context(), "devices/d2/data", []byte("{}"), event.QoS(1))
	if e, ok := errors.AsType[*event.Error](err); !ok || e.Reason != event.ReasonNotAuthorized {
		t.Errorf("publish for another device: %v, want NOT_AUTHORIZED", err)
	}
}

// TestErlang parses each block with Erlang, as EMQX does.
func TestErlang(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("erl"); err != nil {
		missing(t, "erl")
	}
	for _, b := range blocksOf(t, "erlang") {
		file := filepath.Join(t.TempDir(), "acl.conf")
		write(t, file, b.text)
		read := fmt.Sprintf("case file:consult(%q) of {ok, [_|_]} -> halt(0); E -> io:format(\"~p\", [E]), halt(1) end.", file)
		if out, err := exec.CommandContext(t.Context(), "erl", "-noshell", "-eval", read).CombinedOutput(); err != nil {
			t.Errorf("%s: %v: %s", b.where, err, out)
		}
	}
}

func write(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
