package main

import (
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/chromedp/kb"
	"github.com/go-kratos/kratos/v2/log"

	"github.com/kratos-mqtt/kratos-mqtt/internal/conf"
)

// A publish of the console is a line in the log with the name of the person, as every other act.
func TestConsolePublishIsLogged(t *testing.T) {
	out := new(lines)
	r := startWith(t, allInOne(filepath.Join(t.TempDir(), "test.db")), log.NewStdLogger(out))
	r.post(t, 0)
	body := `{"operation":"/device.v1.DeviceEvents/RecordTelemetry","message":"{\"device_id\":\"lamp-1\",\"temperature\":21}","by":"ann"}`
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, r.url+"/api/publish", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := r.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	if _ = res.Body.Close(); res.StatusCode != http.StatusOK {
		t.Fatalf("%d", res.StatusCode)
	}
	const want = `an operator acted kratosmqtt.operator.action=publish kratosmqtt.operator.by=ann kratosmqtt.operator.selected=1 ` +
		`kratosmqtt.operator.done=1 kratosmqtt.operator.failed=0 kratosmqtt.operator.held=0 kratosmqtt.count=1 kratosmqtt.operator.topics=["devices/lamp-1/data"]`
	if !out.have(want) {
		t.Error("no line of the log has the publish")
	}
}

// Messages of a hostile device leave the page usable, and an act takes the letters that somebody
// has agreed to, not those that arrived while the page asked.
func TestConsoleWithHostileMessages(t *testing.T) {
	c := allInOne(filepath.Join(t.TempDir(), "test.db"))
	c.Server.Operator = &conf.Server_Operator{}
	r := start(t, c)
	r.post(t, 0) // returns once the service is subscribed
	device := connectDevice(t, r.broker, "device")
	publish := func(payload string) {
		t.Helper()
		if err := wait(device.Publish("devices/lamp-1/data", 1, false, payload)); err != nil {
			t.Fatal(err)
		}
	}
	b := openBrowser(t, r.url+"/#/letters/%E0%A4%A", 1280, 800)
	b.until(`document.querySelector("nav a")`) // a malformed address does not stop the page

	// Lines are not indented by the depth alone.
	publish(strings.Repeat("[", 9000) + strings.Repeat("]", 9000))
	r.letters(t, 1, 0)
	b.press("1")
	b.press("4")
	b.until(`document.querySelector("[data-letter]")`)
	b.focus("j", `e.dataset.letter`)
	b.press(kb.Enter)
	b.until(`document.querySelector("main pre")`)
	if b.is(`document.querySelector("main pre").textContent.length > 3e6`) {
		t.Error("18 kB of a device are many megabytes of the page")
	}

	// What arrives while the page asks is left alone.
	b.press("1")
	b.press("4")
	b.until(`[...document.querySelectorAll("button")].some(e => e.textContent === "Delete all that match")`)
	b.focus(kb.Tab, `e.textContent === "Delete all that match"`)
	b.press(kb.Enter)
	b.until(`document.querySelector("dialog h2")?.textContent === "Delete: 1 letters?"`)
	publish(`{"temperature": "warm"`)
	left := r.letters(t, 2, 0)[1]["id"]
	b.press("ann" + kb.Enter)
	b.until(`!document.querySelector("dialog") && document.querySelector("#notices p")`)
	if now := r.letters(t, 1, 0); now[0]["id"] != left {
		t.Errorf("%v is left, want %v", now[0]["id"], left)
	}
}
