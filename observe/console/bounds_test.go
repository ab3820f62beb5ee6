package console_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/event/message"
	"github.com/kratos-mqtt/kratos-mqtt/observe/console"
)

// At most 64 pages are open: a stream keeps a connection for itself, and a server has a bounded
// number of them for all its callers.
func TestPagesAreBounded(t *testing.T) {
	t.Parallel()
	c := newConsole(t, console.Options{})
	s := serve(t, c)
	for range 64 {
		events(t, s.URL+"/api/stream")("flow")
	}
	for _, query := range []string{"", "?messages=1"} {
		res, err := s.Client().Get(s.URL + "/api/stream" + query)
		if err != nil {
			t.Fatal(err)
		}
		if _ = res.Body.Close(); res.StatusCode != http.StatusTooManyRequests {
			t.Errorf("a stream beyond the bound%s: %d", query, res.StatusCode)
		}
	}
	if res, _ := send(t, http.MethodGet, s.URL+"/api/flow", "", nil); res.StatusCode != http.StatusOK {
		t.Errorf("an ordinary request: %d", res.StatusCode)
	}
}

// What a page receives of a message is bounded in all its texts, because up to 256 messages wait
// for a page that reads slowly.
func TestTextsOfMessagesAreBounded(t *testing.T) {
	t.Parallel()
	recorder := console.NewRecorder()
	s := serve(t, newConsole(t, console.Options{Recorder: recorder}))
	next := events(t, s.URL+"/api/stream?messages=1")
	next("flow")
	long := strings.Repeat("é", 32_000)
	m := message.Message{Topic: "plants/1", Payload: []byte(`1`), ContentType: long}
	for range 50 {
		m.Headers = append(m.Headers, message.Header{Key: long, Value: long})
	}
	recorder.OnArrival(event.ArrivalInfo{Delivery: event.Delivery{Topic: m.Topic, Size: 1}, ID: long, Message: m})
	text := next("message")
	var shown struct {
		Headers [][2]string
		Text    string
	}
	if err := json.Unmarshal([]byte(text), &shown); err != nil {
		t.Fatal(err)
	}
	if len(text) > 100_000 || len(shown.Headers) == 0 || shown.Text != "1" || strings.Contains(text, "\ufffd") {
		t.Errorf("%d bytes, %d headers, %q", len(text), len(shown.Headers), shown.Text)
	}
}
