package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tx7do/kratos-transport/broker"

	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
	"github.com/kratos-mqtt/kratos-mqtt/observe"
	"github.com/kratos-mqtt/kratos-mqtt/observe/console"
	mqttserver "github.com/kratos-mqtt/kratos-mqtt/transport/mqtt"
)

// readings matches the number of handled readings in /metrics.
var readings = regexp.MustCompile(`(?m)^messaging_process_duration_seconds_count\{.*messaging_destination_template="devices/\{device_id\}/data".*\} (\d+)`)

// handled returns how many readings the service has handled.
func (r *running) handled(t *testing.T) (n int) {
	t.Helper()
	res, err := r.client.Get(r.url + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range readings.FindAllStringSubmatch(string(text), -1) {
		count, err := strconv.Atoi(m[1])
		if err != nil {
			t.Fatal(err)
		}
		n += count
	}
	return n
}

// watch reads the stream of the live page until stop, which waits until the page has
// received the messages, or the number of those that were not shown.
func watch(t *testing.T, client *http.Client, url string) (stop func(messages int64)) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/api/stream?messages=1", nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := (&http.Client{Transport: client.Transport}).Do(req) //nolint:bodyclose // the reader below closes it
	if err != nil || res.StatusCode != http.StatusOK {
		t.Fatal(err, res)
	}
	var seen atomic.Int64
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer res.Body.Close()
		lines := bufio.NewScanner(res.Body)
		lines.Buffer(nil, 1<<20)
		for event := ""; lines.Scan(); {
			name, value, _ := strings.Cut(lines.Text(), ": ")
			switch {
			case name == "event":
				event = value
			case name == "data" && event == "message":
				seen.Add(1)
			case name == "data" && event == "dropped":
				var n int64
				_, _ = fmt.Sscanf(value, `{"count":%d}`, &n)
				seen.Add(n)
			}
		}
	}()
	return func(messages int64) {
		eventually(t, func() bool { return seen.Load() >= messages })
		cancel()
		<-done
	}
}

// An open page with live messages costs a service that stores readings less than 5 % of its rate.
func TestLivePageKeepsUp(t *testing.T) {
	r := start(t, allInOne(filepath.Join(t.TempDir(), "test.db")))
	r.post(t, 0) // returns once the service is subscribed
	publisher := startPublisher(t, r.broker)
	const messages = 20_000
	sent := 0
	load := func() (rate float64) {
		before, begin := r.handled(t), time.Now()
		for range messages {
			sent++
			payload := fmt.Sprintf(`{"event_id":"e%d","temperature":21.5,"timestamp":1778068800}`, sent)
			if err := publisher.PublishAsync(t.Context(), fmt.Sprintf("devices/d%d/data", sent%100), []byte(payload), nil); err != nil {
				t.Fatal(err)
			}
		}
		tick := time.NewTicker(50 * time.Millisecond) // a look at the metrics takes a millisecond
		defer tick.Stop()
		for ; r.handled(t)-before < messages; <-tick.C {
			if time.Since(begin) > 5*time.Minute {
				t.Fatal("not handled in time")
			}
		}
		return messages / time.Since(begin).Seconds()
	}
	compare(t, load, messages, func() func(int64) { return watch(t, r.client, r.url) })
}

// The same holds for a service whose handlers do nothing, so that it handles far more than 10,000
// messages a second.
func TestLivePageKeepsUpWithManyMessages(t *testing.T) {
	url := mqtttest.InProcess(t).URL()
	recorder := console.NewRecorder()
	page, err := console.New(console.Options{Recorder: recorder, Probe: observe.NewProbe(observe.Limits{})})
	if err != nil {
		t.Fatal(err)
	}
	web := httptest.NewServer(page)
	t.Cleanup(func() {
		page.Close()
		web.Close()
	})
	srv := mqttserver.NewServer(mqttserver.WithAddress([]string{url}), mqttserver.WithBrokerOptions(mqttbroker.WithProtocol("5"), mqttbroker.WithHooks(recorder)))
	var handled atomic.Int64
	err = mqttserver.RegisterSubscriber(srv, t.Context(), "bench/#", func(context.Context, string, broker.Headers, *map[string]any) error {
		handled.Add(1)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := srv.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = srv.Stop(context.Background()) })
	if err := srv.WaitReady(t.Context()); err != nil {
		t.Fatal(err)
	}
	publisher := startPublisher(t, url)
	const messages = 50_000
	load := func() float64 {
		before, begin := handled.Load(), time.Now()
		for i := range messages {
			if err := publisher.PublishAsync(t.Context(), "bench/"+strconv.Itoa(i%100), []byte(`{"temperature":21.5}`), nil); err != nil {
				t.Fatal(err)
			}
		}
		eventually(t, func() bool { return handled.Load()-before >= messages })
		return messages / time.Since(begin).Seconds()
	}
	compare(t, load, messages, func() func(int64) { return watch(t, web.Client(), web.URL) })
}

// compare alternates a load with and without an open page. Other programs disturb some attempts.
func compare(t *testing.T, load func() (rate float64), messages int64, open func() (stop func(int64))) {
	t.Helper()
	load() // fills caches
	for attempt := 1; ; attempt++ {
		alone := load()
		stop := open()
		watched := load()
		stop(messages)
		t.Logf("%.0f messages a second with an open page, %.0f without", watched, alone)
		if watched >= 0.95*alone {
			return
		}
		if attempt == 16 {
			t.Fatal("the rate falls by more than 5 %")
		}
	}
}

func startPublisher(t *testing.T, url string) *mqttbroker.Publisher {
	t.Helper()
	p, err := mqttbroker.NewPublisher(mqttbroker.WithProtocol("5"), broker.WithAddress(url))
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Stop(context.Background()) })
	return p
}
