package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	paho "github.com/eclipse/paho.mqtt.golang"

	kratosmqttv1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/v1"
	"github.com/kratos-mqtt/kratos-mqtt/event/deadletter"
	"github.com/kratos-mqtt/kratos-mqtt/event/deadletter/deadletterfile"
	"github.com/kratos-mqtt/kratos-mqtt/event/message"
	"github.com/kratos-mqtt/kratos-mqtt/event/outbox"
	"github.com/kratos-mqtt/kratos-mqtt/event/outbox/outboxfile"
	"github.com/kratos-mqtt/kratos-mqtt/internal/conf"
)

// leftBehind writes what an earlier process left: two parked messages of a subscription that
// this service does not have, a dead letter, and two messages in the quarantine of the outbox.
func leftBehind(t *testing.T, letters, box string) {
	t.Helper()
	kept, err := deadletterfile.Open(letters, deadletterfile.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer kept.Close()
	now := time.Now()
	for i, state := range []deadletter.State{deadletter.Parked, deadletter.Parked, deadletter.Dead} {
		err := kept.Put(t.Context(), &deadletter.Letter{
			ID: fmt.Sprintf("019a0000-0000-7000-8000-%012d", i+1), State: state, Service: "test", Owner: "test", Filter: "older/+", Key: fmt.Sprint("key-", i),
			Reason: "the database is away", ErrorType: "UNAVAILABLE", Attempts: 3, Received: now, Time: now, Until: now.Add(time.Hour),
			Message: message.Message{Topic: fmt.Sprint("older/", i), QoS: 1, Payload: []byte(`{"n":9007199254740993}`)},
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	store, err := outboxfile.Open(box, outboxfile.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	for i := range 2 {
		e := &outbox.Entry{ID: outbox.NewID(), Accepted: now, Message: message.Message{Topic: fmt.Sprint("refused/", i), QoS: 1, Payload: []byte("x")}}
		if err := store.Append(t.Context(), e); err != nil {
			t.Fatal(err)
		}
		if err := store.Quarantine(t.Context(), e.Seq, "NOT_AUTHORIZED: refused <b>by the broker</b>"); err != nil {
			t.Fatal(err)
		}
	}
}

// An operator repairs by keyboard what an earlier process left: a parked message becomes a dead
// letter and another one is deleted, a letter is archived, and of the quarantine one message is
// sent and another one deleted.
func TestConsoleRepairs(t *testing.T) {
	folder := t.TempDir()
	letters, box, archive := filepath.Join(folder, "letters.db"), filepath.Join(folder, "outbox.db"), filepath.Join(folder, "archive.jsonl")
	leftBehind(t, letters, box)
	c := allInOne(filepath.Join(folder, "test.db"))
	c.Mqtt.DeadLetters = &kratosmqttv1.DeadLetters{Driver: conf.DriverFile, Path: letters}
	c.Mqtt.Outbox = &kratosmqttv1.Outbox{Driver: conf.DriverFile, Path: box}
	c.Server.Operator = &conf.Server_Operator{Archive: archive}
	r := start(t, c)
	r.post(t, 0) // returns once the service is subscribed
	device := connectDevice(t, r.broker, "device")
	sent := make(chan string, 10)
	if err := wait(device.Subscribe("refused/+", 1, func(_ paho.Client, m paho.Message) { sent <- m.Topic() })); err != nil {
		t.Fatal(err)
	}
	b := openBrowser(t, r.url+"/#/letters?state=parked", 390, 844)
	rows := func(n int) string { return fmt.Sprintf(`document.querySelectorAll("[data-letter]").length === %d`, n) }
	// button focuses a button of what has the focus, or follows it, by its beginning, and confirms what it asks for.
	button := func(text string) {
		b.focus(kb.Tab, fmt.Sprintf(`e.tagName === "BUTTON" && e.textContent.startsWith(%q)`, text))
		b.press(kb.Enter)
		b.until(`document.querySelector("dialog input[name=by]") === document.activeElement`)
		b.press("a", chromedp.KeyModifiers(chromedp.ModifierCtrl)) // the name of the last act
		b.press("ann" + kb.Enter)
		b.until(`!document.querySelector("dialog")`)
	}

	// Parked messages.
	b.until(rows(2))
	b.focus(kb.Tab, `e.getAttribute("aria-label") === "019a0000-0000-7000-8000-000000000001"`)
	b.press(" ")
	button("Make dead letters (1)")
	b.until(rows(1))
	button("Delete all that match")
	b.until(`document.body.innerText.includes("There are no letters.")`)

	// Letters.
	b.is(`location.hash = "#/letters"`)
	b.until(rows(2))
	b.focus("j", `e.dataset.letter === "019a0000-0000-7000-8000-000000000003"`)
	b.press(kb.Enter)
	b.until(`document.querySelector(".reason")?.textContent === "the database is away"`)
	button("Archive")
	b.until(rows(1))
	if text, err := os.ReadFile(archive); err != nil || !strings.Contains(string(text), "older/2") {
		t.Errorf("%v, the archive is %q", err, text)
	}

	// The quarantine.
	b.press("6")
	b.until(`document.querySelectorAll("table[aria-label=Quarantine] button[data-row]").length === 2`)
	if b.is(`!document.body.innerText.includes("refused <b>by the broker</b>")`) {
		t.Error("the reason is not shown as it is")
	}
	if b.is("document.documentElement.scrollWidth > innerWidth") {
		t.Error("the quarantine is wider than a phone")
	}
	b.focus("j", `e.closest("tr")?.innerText.includes("refused/0")`)
	button("Retry")
	select {
	case topic := <-sent:
		if topic != "refused/0" {
			t.Errorf("%s was sent", topic)
		}
	case <-time.After(patience):
		t.Error("nothing was sent")
	}
	b.until(`document.querySelectorAll("table[aria-label=Quarantine] button[data-row]").length === 1`)
	button("Delete all")
	b.until(`document.querySelectorAll("table[aria-label=Quarantine] button[data-row]").length === 0`)
}
