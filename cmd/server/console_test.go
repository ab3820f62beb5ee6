package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/kratos-mqtt/kratos-mqtt/internal/conf"
)

// browser is a tab of headless Chromium that is used by keyboard.
type browser struct {
	t   *testing.T
	ctx context.Context
}

// openBrowser opens a page at a window size. Chromium is in the package chromium, which CI
// installs.
func openBrowser(t *testing.T, url string, width, height int) *browser {
	t.Helper()
	program := ""
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			program = path
			break
		}
	}
	if program == "" {
		if os.Getenv("CI") != "" {
			t.Fatal("chromium is not installed")
		}
		t.Skip("chromium is not installed")
	}
	allocator, endAllocator := chromedp.NewExecAllocator(context.Background(), append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(program), chromedp.WindowSize(width, height), chromedp.UserDataDir(t.TempDir()),
		chromedp.NoSandbox, // tests of a container run as root
		chromedp.Flag("disable-dev-shm-usage", true),
		chromedp.Flag("lang", "en-US"),
	)...)
	tab, endTab := chromedp.NewContext(allocator)
	ctx, cancel := context.WithTimeout(tab, 4*patience)
	b := &browser{t, ctx}
	t.Cleanup(func() {
		cancel()
		endTab()
		endAllocator()
	})
	b.do(chromedp.Navigate(url))
	return b
}

func (b *browser) do(steps ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	if err := chromedp.Do(b.ctx, steps...); err != nil {
		b.picture(filepath.Join(os.TempDir(), "console-failed.png"))
		b.t.Fatal(err)
	}
}

// is reports whether a JavaScript expression is true.
func (b *browser) is(expression string) bool {
	b.t.Helper()
	yes, err := chromedp.Run(b.ctx, chromedp.Evaluate[bool]("!!("+expression+")"))
	if err != nil {
		b.t.Fatalf("%s: %v", expression, err)
	}
	return yes
}

// until waits for a JavaScript expression to be true.
func (b *browser) until(expression string) {
	b.t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(patience); !b.is(expression); <-tick.C {
		if time.Now().After(deadline) {
			text, err := chromedp.Run(b.ctx, chromedp.Evaluate[string]("document.body.innerText"))
			b.picture(filepath.Join(os.TempDir(), "console-failed.png"))
			b.t.Fatalf("not met in time: %s; the page has %v:\n%s", expression, err, text)
		}
	}
}

func (b *browser) press(keys string, opts ...chromedp.KeyOption) {
	b.t.Helper()
	b.do(chromedp.KeyEvent(keys, opts...))
}

// focus presses a key until the focused element satisfies a JavaScript expression of e.
func (b *browser) focus(key, expression string) {
	b.t.Helper()
	for range 200 {
		if b.is("(e => " + expression + ")(document.activeElement)") {
			return
		}
		b.press(key)
	}
	b.picture(filepath.Join(os.TempDir(), "console-failed.png"))
	b.t.Fatalf("no element is reached by the key %q with %s", key, expression)
}

func (b *browser) picture(path string) {
	if png, err := chromedp.Run(b.ctx, chromedp.CaptureScreenshot()); err == nil {
		_ = os.WriteFile(path, png, 0o644)
	}
}

// An operator works with the console by keyboard only: a message that cannot be decoded becomes
// a letter, is edited, replayed and stored; a subscription is paused and resumed; an event is
// published by its form and seen among the live messages.
func TestConsoleByKeyboard(t *testing.T) {
	r := start(t, allInOne(filepath.Join(t.TempDir(), "test.db")))
	r.post(t, 0) // returns once the service is subscribed
	device := connectDevice(t, r.broker, "device")
	b := openBrowser(t, r.url+"/", 1280, 800)
	b.until(`document.querySelector("nav a")`)
	b.until(`document.title === "test 1.2.3 · Console" && document.querySelector("h1").innerText === "test 1.2.3"`)

	// Letters.
	if err := wait(device.Publish("devices/lamp-1/data", 1, false, `{"temperature": "warm"`)); err != nil {
		t.Fatal(err)
	}
	b.press("4")
	b.until(`document.querySelector("[data-letter]")`)
	b.focus("j", `e.dataset.letter`)
	b.press(kb.Enter)
	b.until(`document.querySelector(".reason")`)
	b.focus(kb.Tab, `e.tagName === "BUTTON" && e.textContent === "Edit and replay"`)
	b.press(kb.Enter)
	b.until(`document.activeElement.id === "edit"`)
	b.press("a", chromedp.KeyModifiers(chromedp.ModifierCtrl)) // Ctrl: all
	b.press(`{"event_id": "e-1", "temperature": 21.5, "timestamp": "2026-01-02T03:04:05Z"}`)
	b.focus(kb.Tab, `e.textContent === "Replay edited"`)
	b.press(kb.Enter)
	b.until(`document.querySelector("dialog input[name=by]") === document.activeElement`)
	b.press("ann" + kb.Enter)
	eventually(t, func() bool { return len(r.list(t, "/v1/devices/lamp-1/telemetry", "telemetry")) == 1 })
	b.until(`location.hash === "#/letters" && document.body.innerText.includes("There are no letters.")`)

	// Subscriptions.
	const telemetry = "/device.v1.DeviceEvents/RecordTelemetry"
	state := func(name string) string {
		return fmt.Sprintf(`document.querySelector('[data-subscription=%q]')?.dataset.state === "SUBSCRIPTION_STATE_%s"`, telemetry, name)
	}
	b.press("5")
	b.until(state("CLOSED"))
	b.focus("j", fmt.Sprintf(`e.getAttribute("aria-label") === "Pause %s"`, telemetry))
	b.press(kb.Enter)
	b.until(`document.querySelector("dialog input[name=by]")?.value === "ann"`)
	b.press(kb.Tab + "migration" + kb.Enter)
	b.until(state("PAUSED"))
	b.until(`document.querySelector(".state").textContent === "degraded"`)
	b.focus("j", fmt.Sprintf(`e.getAttribute("aria-label") === "Resume %s"`, telemetry))
	b.press(kb.Enter)
	b.until(`document.querySelector("dialog input[name=by]")`)
	b.press(kb.Enter)
	b.until(state("CLOSED"))

	// The form of an event.
	b.press("7")
	b.until(`document.querySelector("main [data-row]")`)
	b.focus("j", `e.textContent === "RecordTelemetry"`)
	b.press(kb.Enter)
	b.until(`["DeviceEvents are", "RecordTelemetry stores a reading", "Telemetry is one reading", "Degrees Celsius."].every(t => document.body.innerText.includes(t))`)
	b.focus(kb.Tab, `e.name === "temperature"`)
	b.press("22")
	b.focus(kb.Tab, `e.textContent === "Now"`)
	b.press(kb.Enter)
	b.focus(kb.Tab, `e.name === "device_id"`)
	b.press("lamp-2")
	b.focus(kb.Tab, `e.textContent === "Publish"`)
	b.press(kb.Enter)
	b.until(`document.querySelector("dialog input[name=by]")?.value === "ann"`)
	b.press(kb.Enter)
	b.until(`document.querySelector("[role=status] code")?.textContent === "devices/lamp-2/data"`)
	eventually(t, func() bool { return len(r.list(t, "/v1/devices/lamp-2/telemetry", "telemetry")) == 1 })

	// Live messages. The page shows what arrives after it is opened.
	b.press("2")
	b.until(`document.querySelector("table.live")`)
	eventually(t, func() bool {
		if err := wait(device.Publish("devices/lamp-3/data", 1, false, `{"temperature":23,"timestamp":"2026-01-02T03:04:05Z","sensors":{"count":9007199254740993}}`)); err != nil {
			t.Fatal(err)
		}
		return b.is(`document.querySelector("table.live [data-row]")`)
	})
	b.focus("j", `e.textContent === "devices/lamp-3/data"`)
	b.press(kb.Enter)
	b.until(`document.querySelector(".split pre")?.textContent.includes('"count": 9007199254740993')`)

	// What has happened.
	b.press("1")
	b.until(`document.querySelectorAll(".flow tbody tr").length >= 2`)
	b.press("3")
	b.until(`[...document.querySelectorAll(".tree button")].some(e => e.textContent.includes("devices"))`)

	// A retained message is found and cleared.
	if err := wait(device.Publish("notes/1", 1, true, "water the <b>fern</b>")); err != nil {
		t.Fatal(err)
	}
	b.focus(kb.Tab, `e.name === "retained"`)
	b.press("a", chromedp.KeyModifiers(chromedp.ModifierCtrl))
	b.press("notes/#" + kb.Enter)
	b.until(`document.querySelector("main table .preview")?.textContent === "water the <b>fern</b>"`)
	b.focus(kb.Tab, `e.getAttribute("aria-label") === "notes/1"`)
	b.press(" ")
	b.focus(kb.Tab, `e.tagName === "BUTTON" && e.textContent.startsWith("Clear (1)")`)
	b.press(kb.Enter)
	b.until(`document.querySelector("dialog input[name=by]")`)
	b.press(kb.Enter)
	b.until(`document.querySelector("main table .empty")`)
}

// The list of letters follows the service by itself. What somebody types stays although the page
// is drawn each second. A filter that is refused is named, and does not look like a service that
// is gone.
func TestConsoleFollows(t *testing.T) {
	r := start(t, allInOne(filepath.Join(t.TempDir(), "test.db")))
	r.post(t, 0) // returns once the service is subscribed
	device := connectDevice(t, r.broker, "device")
	b := openBrowser(t, r.url+"/#/letters", 1280, 800)
	b.until(`document.querySelector("main tr.empty")`)
	if err := wait(device.Publish("devices/lamp-1/data", 1, false, `{"temperature": "warm"`)); err != nil {
		t.Fatal(err)
	}
	b.until(`document.querySelector("[data-letter]")`)
	typed := func(name, text string) {
		t.Helper()
		b.focus(kb.Tab, fmt.Sprintf(`e.name === %q`, name))
		b.press(text)
		b.is("begun = performance.now()")
		b.until("performance.now() - begun > 2200") // it is drawn twice
		if !b.is(fmt.Sprintf("document.activeElement.value === %q", text)) {
			t.Errorf("%s: the typed text is gone", name)
		}
	}
	typed("topic", "devices/+/data")

	b.do(chromedp.Evaluate[chromedp.Void](`document.activeElement.blur()`))
	b.press("2")
	b.until(`document.querySelector("table.live")`)
	typed("filter", "a#")
	b.press(kb.Enter)
	b.until(`document.querySelector("#notices .bad")?.textContent.includes("a#")`)
	if b.is(`document.querySelector(".state").textContent === "offline"`) {
		t.Error("the service looks gone")
	}
}

// With a token the page asks for it, and shows nothing before.
func TestConsoleAsksForTheToken(t *testing.T) {
	t.Setenv(conf.EnvOperatorToken, operatorToken)
	r := start(t, allInOne(filepath.Join(t.TempDir(), "test.db")))
	b := openBrowser(t, r.url+"/", 1280, 800)
	b.until(`document.querySelector("input[name=token]")`)
	if b.is(`document.querySelector("nav") || document.body.innerText.includes("test")`) {
		t.Error("the page shows something without the token")
	}
	b.focus(kb.Tab, `e.name === "token"`)
	b.press("not the right token" + kb.Enter)
	b.until(`document.querySelector("[role=alert]")`)
	b.press("a", chromedp.KeyModifiers(chromedp.ModifierCtrl))
	b.press(operatorToken + kb.Enter)
	b.until(`document.querySelector(".state")?.textContent === "ready"`) // by the stream
	if b.is(`document.cookie !== "" || Object.values(localStorage).join().includes("letters")`) {
		t.Error("a script can read the token or the cookie")
	}
	b.focus(kb.Tab, `e.textContent === "Leave"`)
	b.press(kb.Enter)
	b.until(`document.querySelector("input[name=token]")`)
}
