package command_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event/deadletter"
	"github.com/kratos-mqtt/kratos-mqtt/event/message"
)

// many adds n letters that can be replayed to a service, and deletes the others.
func (p *plant) many(t *testing.T, n int) {
	t.Helper()
	page, err := p.letters.List(t.Context(), deadletter.Query{})
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range page {
		if err := p.letters.Delete(t.Context(), l.ID); err != nil {
			t.Fatal(err)
		}
	}
	for i := range n {
		err := p.letters.Put(t.Context(), &deadletter.Letter{
			ID: fmt.Sprintf("019a0000-0000-7000-8000-%012d", i+1), State: deadletter.Dead, Filter: "reports", Operation: report,
			Received: began, Time: began, Message: message.Message{Topic: "reports", QoS: 1, Payload: []byte("{}")},
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// once fails unless each of n letters was published once.
func (p *plant) once(t *testing.T, n int) {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	ids := make(map[string]int)
	for _, l := range p.published {
		ids[l.ID]++
	}
	if len(p.published) != n || len(ids) != n {
		t.Errorf("%d publishes of %d letters, want %d of each", len(p.published), len(ids), n)
	}
}

func (p *plant) count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.published)
}

func user(t *testing.T, address string) shell {
	t.Helper()
	return shell{variables: map[string]string{"KRATOS_MQTT_OPERATOR": address, "KRATOS_MQTT_HOME": t.TempDir(), "USER": "ops"}}
}

// An act takes as many calls as it needs, and goes on where an earlier one ended.
func TestActGoesOn(t *testing.T) {
	t.Parallel()
	p, address := newPlant(t, "")
	p.many(t, 3500)
	u := user(t, address)
	var first struct{ Done, Next string }
	text := u.run(t, "kratos-mqtt letters replay --all --yes --limit 1200 --json")
	if err := json.Unmarshal([]byte(text), &first); err != nil || first.Done != "1200" || first.Next == "" {
		t.Fatalf("%s: %v", text, err)
	}
	if got := u.run(t, "kratos-mqtt letters replay --all --yes --cursor "+first.Next); got != "replayed 2300, 0 failed, 0 held\n" {
		t.Error(got)
	}
	p.once(t, 3500)
}

// An interrupted act names the cursor with which another one goes on.
func TestActIsInterrupted(t *testing.T) {
	t.Parallel()
	p, address := newPlant(t, "")
	p.many(t, 120)
	u := user(t, address)
	ctx, interrupt := context.WithCancel(t.Context())
	p.onPublish = func() {
		if p.count() == 30 {
			interrupt()
		}
	}
	got := u.runContext(ctx, t, "kratos-mqtt letters replay --all --yes --rate 100")
	cursor := regexp.MustCompile(`interrupted; to go on: the same command with --cursor (\S+)`).FindStringSubmatch(got)
	if cursor == nil || p.count() == 120 {
		t.Fatalf("%d published: %s", p.count(), got)
	}
	u.run(t, "kratos-mqtt letters replay --all --yes --cursor "+cursor[1])
	p.once(t, 120)
}

// Letters that come after the question are left alone, and nothing is asked about nothing.
func TestActTakesWhatWasAgreed(t *testing.T) {
	t.Parallel()
	p, address := newPlant(t, "")
	p.many(t, 5)
	u := user(t, address)
	late := &deadletter.Letter{
		ID: "019a0000-0000-7000-8000-000000000099", State: deadletter.Dead, Filter: "reports", Received: began, Time: began,
		Message: message.Message{Topic: "reports", QoS: 1},
	}
	p.onPublish = func() {
		if err := p.letters.Put(context.Background(), late); err != nil {
			t.Error(err)
		}
	}
	if got := u.run(t, "echo y | kratos-mqtt letters replay --all"); !strings.HasPrefix(got, "replayed 5, ") {
		t.Error(got)
	}
	p.once(t, 5)
	u.run(t, "kratos-mqtt letters drop --all --yes")
	if got := u.run(t, "echo n | kratos-mqtt letters drop --all"); !strings.HasPrefix(got, "deleted 0, 0 failed, 0 held\n") || strings.Contains(got, "[y/N]") {
		t.Error(got)
	}
}

// A rate counts over all calls, each of which takes a second.
func TestActKeepsItsRate(t *testing.T) {
	t.Parallel()
	p, address := newPlant(t, "")
	p.many(t, 4)
	begin := time.Now()
	u := user(t, address)
	for range 2 { // the second one goes on after the first
		u.run(t, "kratos-mqtt letters replay --all --yes --rate 1 --limit 2")
	}
	if passed := time.Since(begin); passed < 2*time.Second {
		t.Errorf("4 letters at one a second took %v", passed)
	}
	p.once(t, 4)
}

// Without the token nothing is done, and the error names what is missing. The token is never
// shown.
func TestToken(t *testing.T) {
	t.Parallel()
	const token = "a token of many letters"
	_, address := newPlant(t, token)
	u := user(t, address)
	if got := u.run(t, "kratos-mqtt letters drop --all --yes"); got != "exit code 1: the operator wants a token: pass --token-file, or set KRATOS_MQTT_OPERATOR_TOKEN\n" {
		t.Error(got)
	}
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte(token+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := u.run(t, "kratos-mqtt letters drop --all --yes --token-file "+file); got != "deleted 4, 0 failed, 0 held\n" {
		t.Error(got)
	}
	u.variables["KRATOS_MQTT_OPERATOR_TOKEN"] = token
	if got := u.run(t, "kratos-mqtt letters list --json"); got != "" {
		t.Error(got)
	}
	if got := u.run(t, "kratos-mqtt letters list --operator http://192.0.2.1:1/"+token+"?x"); strings.Contains(got, token) {
		t.Error(got)
	}
}

// An editor shows the payload, and the letter is replayed with what it has saved.
func TestEditor(t *testing.T) {
	t.Parallel()
	const id = "019a0000-0000-7000-8000-000000000001"
	for name, test := range map[string]struct{ script, line, want, payload string }{
		"saves":      {`sed -i "s/: 71/: 21/" "$1"`, "echo y | kratos-mqtt letters edit " + id, "replayed\n! replay the letter with this payload? [y/N] \n", "{\n  \"temperature\": 21,\n  \"serial\": 9007199254740993\n}\n"},
		"declines":   {`sed -i "s/: 71/: 21/" "$1"`, "echo n | kratos-mqtt letters edit " + id, "! replay the letter with this payload? [y/N] \nexit code 1: not confirmed: nothing was changed\n", ""},
		"no change":  {`true`, "echo y | kratos-mqtt letters edit " + id, "exit code 1: the payload is unchanged: nothing was replayed\n", ""},
		"no meaning": {`echo '{' > "$1"`, "echo n | kratos-mqtt letters edit " + id, "", ""},
		"not asked":  {`sed -i "s/: 71/: 21/" "$1"`, "kratos-mqtt letters edit --yes " + id, "replayed\n", "{\n  \"temperature\": 21,\n  \"serial\": 9007199254740993\n}\n"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p, address := newPlant(t, "")
			editor := filepath.Join(t.TempDir(), "editor")
			if err := os.WriteFile(editor, []byte("#!/bin/sh\n"+test.script+"\n"), 0o700); err != nil {
				t.Fatal(err)
			}
			u := user(t, address)
			u.variables["EDITOR"] = "sh " + editor
			got := u.run(t, test.line)
			if test.want == "" {
				if !strings.Contains(got, "the text is not valid JSON") || !strings.Contains(got, "the draft is ") {
					t.Error(got)
				}
				_ = os.Remove(got[strings.LastIndex(got, " ")+1 : len(got)-1])
			} else if got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
			if p.count() == 0 != (test.payload == "") || p.count() > 0 && string(p.published[0].Payload) != test.payload {
				t.Errorf("%d published, want %q", len(p.published), test.payload)
			}
		})
	}
}
