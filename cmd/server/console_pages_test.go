package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/chromedp/chromedp"

	kratosmqttv1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/v1"
	"github.com/kratos-mqtt/kratos-mqtt/internal/conf"
)

// pictures writes the pictures of docs/console: go test ./cmd/server -run TestConsolePages
// -pictures ../../docs/console.
var pictures = flag.String("pictures", "", "`folder` to write pictures of the console to")

// problems collects what the page writes to the console of the browser.
type problems struct {
	mu   sync.Mutex
	text []string
}

func (b *browser) problems() *problems {
	p := new(problems)
	go func() {
		for m, err := range chromedp.Console(b.ctx) {
			if err != nil {
				return
			}
			if m.Type == "error" || m.Type == "warning" || m.Type == chromedp.ConsoleException {
				p.mu.Lock()
				p.text = append(p.text, m.Text)
				p.mu.Unlock()
			}
		}
	}()
	return p
}

func (p *problems) list() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]string(nil), p.text...)
}

// Every page fits a phone, in light and dark, in English and Chinese, and the browser has no
// complaint about it, such as a breach of its Content-Security-Policy.
func TestConsolePages(t *testing.T) {
	c := allInOne(filepath.Join(t.TempDir(), "test.db"))
	c.Mqtt.Outbox = &kratosmqttv1.Outbox{Driver: conf.DriverMemory}
	r := start(t, c)
	r.post(t, 99)
	eventually(t, func() bool { return len(r.list(t, "/v1/reports", "reports")) == 1 }) // it is subscribed
	device := connectDevice(t, r.broker, "device")
	for n := range 40 {
		r.post(t, n)
		payload := fmt.Sprintf(`{"temperature":%d.5,"humidity":40,"timestamp":"2026-01-02T03:04:05Z","sensors":{"count":90071992547409%02d}}`, 18+n%5, n)
		if n%8 == 0 {
			payload = []string{`{"temperature": "warm"`, `{"temperature": 20}`, "\xff\xfe"}[n/8%3]
		}
		if err := wait(device.Publish(fmt.Sprintf("devices/lamp-%d/data", n%4), 1, false, payload)); err != nil {
			t.Fatal(err)
		}
	}
	b := openBrowser(t, r.url+"/", 1280, 860)
	wrong := b.problems()
	for _, look := range []struct {
		name, theme, language string
		width, height         int64
		shown                 map[string]bool // pages whose pictures are kept
	}{
		{"light", "light", "en", 1280, 860, map[string]bool{"flow": true, "messages": true, "letter": true, "topics": true}},
		{"dark", "dark", "en", 1280, 860, map[string]bool{"letters": true, "messages": true, "contract": true}},
		{"phone", "light", "en", 390, 844, map[string]bool{"flow": true, "letters": true, "contract": true}},
		{"chinese", "light", "zh", 1280, 860, map[string]bool{"flow": true, "connections": true, "letter": true}},
		{"chinese-phone", "dark", "zh", 390, 844, map[string]bool{"messages": true, "outbox": true}},
	} {
		b.do(
			chromedp.EmulateViewport(look.width, look.height),
			chromedp.Evaluate[chromedp.Void](fmt.Sprintf(`localStorage.setItem("kratosmqtt.theme", %q); localStorage.setItem("kratosmqtt.language", %q); undefined`, look.theme, look.language)),
			chromedp.Reload(),
		)
		for _, page := range []struct{ name, hash, ready string }{
			{"flow", "flow", `document.querySelectorAll(".flow tbody tr").length > 1`},
			{"messages", "live", `document.querySelector(".live [data-row]")`},
			{"topics", "topics", `document.querySelector(".tree li")`},
			{"letters", "letters", `document.querySelectorAll("[data-letter]").length >= 3`},
			{"letter", "", `document.querySelector(".reason")`},
			{"connections", "connections", `document.querySelector("[data-subscription]") && document.querySelector("dl")`},
			{"outbox", "outbox", `document.querySelector("main dl") && document.querySelectorAll("main table").length === 2`},
			{"contract", "contract/%2Fdevice.v1.DeviceEvents%2FRecordTelemetry", `document.querySelector("form.try")`},
		} {
			if page.hash == "" { // the first letter of the page before
				b.is(`location.hash = document.querySelector("[data-letter]").getAttribute("href")`)
			} else {
				b.is(fmt.Sprintf("location.hash = %q", "#/"+page.hash))
			}
			if page.hash == "live" {
				b.until(`document.querySelector("table.live")`)
				eventually(t, func() bool {
					payload := `{"temperature":23.5,"timestamp":"2026-01-02T03:04:05Z","sensors":{"count":9007199254740993}}`
					return wait(device.Publish("devices/lamp-9/data", 1, false, payload)) == nil && b.is(page.ready)
				})
				b.is(`document.querySelector(".live [data-row]").click() ?? true`)
			}
			b.until(page.ready)
			at := look.name + ", " + page.name
			if b.is("document.documentElement.scrollWidth > innerWidth") {
				t.Errorf("%s: the page is wider than the window", at)
			}
			if b.is(`/undefined|NaN|\[object/.test(document.body.innerText)`) {
				t.Errorf("%s: a value is missing", at)
			}
			if *pictures != "" && look.shown[page.name] {
				if err := os.MkdirAll(*pictures, 0o755); err != nil {
					t.Fatal(err)
				}
				b.picture(filepath.Join(*pictures, page.name+"-"+look.name+".png"))
			}
		}
	}
	if found := wrong.list(); len(found) > 0 {
		t.Errorf("the browser reports:\n%s", strings.Join(found, "\n"))
	}
}
