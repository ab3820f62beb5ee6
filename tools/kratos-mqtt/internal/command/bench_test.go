package command_test

import (
	"context"
	"encoding/json"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"testing"

	kratosbroker "github.com/tx7do/kratos-transport/broker"

	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
)

// bench counts everything that it publishes and receives.
func TestBench(t *testing.T) {
	t.Parallel()
	brokers(t, func(t *testing.T, url string) {
		for _, qos := range []string{"0", "1", "2"} {
			out := run(t, "", "bench", "-b", url, "--count", "500", "--publishers", "2", "--subscribers", "2", "-q", qos, "--rate", "5000", "--json")
			var m struct {
				Published, Failed, Received, Lost int64
				Acknowledged, Delivered           struct {
					Count int64
					P50   float64 `json:"p50_ms"`
					Max   float64 `json:"max_ms"`
				}
			}
			if err := json.Unmarshal([]byte(out), &m); err != nil {
				t.Fatal(err)
			}
			if m.Published != 500 || m.Failed != 0 || m.Received != 1000 || m.Lost != 0 || m.Acknowledged.Count != 500 || m.Delivered.Count != 1000 ||
				m.Delivered.P50 <= 0 || m.Delivered.P50 > m.Delivered.Max {
				t.Errorf("qos %s: %s", qos, out)
			}
		}
		number := regexp.MustCompile(`\d+(\.\d+)?`)
		text, bars, _ := strings.Cut(run(t, "", "bench", "-b", url, "--count", "100"), "<")
		golden(t, "bench.txt", number.ReplaceAllString(text, "N"))
		if !strings.Contains(bars, "#") {
			t.Errorf("bars: %q", bars)
		}
	})
}

func TestBenchRefuses(t *testing.T) {
	t.Parallel()
	if err := begin(t, "", "bench", "--size", "7").wait(t); err == nil || !strings.Contains(err.Error(), "--size 8 or more") {
		t.Errorf("a size of 7: %v", err)
	}
	mosquitto := mqtttest.Mosquitto(t, mqtttest.WithConfig("max_packet_size 1000"))
	for _, more := range [][]string{nil, {"--json"}} {
		err := begin(t, "", append([]string{"bench", "-b", mosquitto.URL(), "--size", "2000", "--count", "3"}, more...)...).wait(t)
		if err == nil || !strings.Contains(err.Error(), "messages failed, the first with") {
			t.Errorf("too large, %v: %v", more, err)
		}
	}
}

// At 10,000 messages a second a tail shows all of them, decoded, and those who publish and
// receive keep 95 % of the rate that they have without it. Other tests share the processors, so
// one of eight attempts is enough.
func TestTailKeepsUp(t *testing.T) {
	t.Parallel()
	url := mqtttest.InProcess(t).URL()
	type result struct {
		Published    int
		PublishRate  float64 `json:"publish_rate"`
		ReceiveRate  float64 `json:"receive_rate"`
		Lost, Failed int
	}
	load := func(topic string) (r result) {
		out := run(t, "", "bench", "-b", url, "-t", topic, "--rate", "10000", "--duration", "2s", "--size", "64", "--json")
		if err := json.Unmarshal([]byte(out), &r); err != nil || r.Lost+r.Failed > 0 {
			t.Errorf("%s: %v", out, err)
		}
		return r
	}
	for attempt := 1; ; attempt++ {
		alone := load("alone")
		p := tail(t, url, "#", "--json", "-d", api)
		watched := load("devices")
		mqtttest.Eventually(t, patience, func() bool { return strings.Count(p.Out.String(), `"topic":"devices/0"`) == watched.Published })
		p.end()
		if err := p.wait(t); err != nil || strings.Contains(p.Err.String(), "dropped") {
			t.Errorf("%v: %s", err, p.Err.String())
		}
		t.Logf("published %.0f and received %.0f a second with a tail, %.0f and %.0f without", watched.PublishRate, watched.ReceiveRate, alone.PublishRate, alone.ReceiveRate)
		if watched.PublishRate >= 0.95*alone.PublishRate && watched.ReceiveRate >= 0.95*alone.ReceiveRate {
			return
		}
		if attempt == 8 { // a busy machine fails some
			t.Fatal("the rate falls by more than 5 %")
		}
	}
}

// BenchmarkTail measures how many decoded protobuf messages a second a tail shows as text.
func BenchmarkTail(b *testing.B) {
	url := mqtttest.InProcess(b).URL()
	publisher, err := mqttbroker.NewPublisher(mqttbroker.WithProtocol("5"), kratosbroker.WithAddress(url))
	if err != nil {
		b.Fatal(err)
	}
	if err := publisher.Start(b.Context()); err != nil {
		b.Fatal(err)
	}
	defer publisher.Stop(context.Background())
	payload := []byte("\n\x24018f3c1e-7a7b-7cc1-9f3e-2b1c4d5e6f70\x12\x05start\x1a\x0b{\"value\":1}\"\x142026-11-30T12:00:00Z")
	p := begin(b, "", "tail", "-b", url, "reports/#", "-d", api, "--count", strconv.Itoa(b.N+1))
	for p.Out.String() == "" { // until it is subscribed
		if err := publisher.Publish(b.Context(), "reports/event", payload, event.Retain(true)); err != nil {
			b.Fatal(err)
		}
		runtime.Gosched()
	}
	b.ResetTimer()
	for range b.N {
		if err := publisher.PublishAsync(b.Context(), "reports/event", payload, nil); err != nil {
			b.Fatal(err)
		}
	}
	if err := p.wait(b); err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msg/s")
}
