package command_test

import (
	"context"
	"errors"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/tx7do/kratos-transport/broker"

	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/event/message"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
)

// What was recorded arrives again as it was, below another topic, with the pauses of the
// recording or without.
func TestRecordAndPlay(t *testing.T) {
	t.Parallel()
	brokers(t, func(t *testing.T, url string) {
		file := filepath.Join(t.TempDir(), "a.rec")
		p := begin(t, "", "record", file, "#", "-b", url)
		watch := tail(t, url, "again/#", "ready")
		mqtttest.Eventually(t, patience, func() bool {
			run(t, "", "publish", "-b", url, "-t", "begin", "x")
			return strings.Contains(readFile(t, file), `"begin"`)
		})
		run(t, "", "publish", "-b", url, "-t", "a/1", "--id", "i1", "-H", "k=v", "--content-type", "text/plain", "one")
		run(t, "", "publish", "-b", url, "-t", "a/2", "\x00\x01")
		run(t, "", "publish", "-b", url, "-t", "a/3", "-q", "0", `{"specversion":"1.0","id":"7","source":"/s","type":"t","data":{"n":1}}`, "--content-type", "application/cloudevents+json")
		mqtttest.Eventually(t, patience, func() bool { return strings.Contains(readFile(t, file), `"a/3"`) })
		p.end()
		if err := p.wait(t); err != nil || !strings.Contains(p.Err.String(), "messages recorded to") {
			t.Fatalf("record: %v\n%s", err, p.Err.String())
		}
		for _, pace := range [][]string{{"--speed", "0"}, {"--rate", "100"}, {"--speed", "1000"}} {
			run(t, "", append([]string{"play", file, "-b", url, "--prefix", "again/"}, pace...)...)
		}
		mqtttest.Eventually(t, patience, func() bool { return strings.Count(watch.Out.String(), "again/a/3") == 3 })
		text := watch.Out.String()
		golden(t, "play.txt", clock.ReplaceAllString(text[strings.LastIndex(text, "again/a/1")-14:], "15:04:05.000"))
	})
}

// A message is played with all that MQTT 5 carries with it, and its reply stays below the prefix.
func TestPlayWhole(t *testing.T) {
	t.Parallel()
	url := mqtttest.InProcess(t).URL()
	sent := message.Message{
		Topic: "a", Payload: []byte("x"), QoS: 2, ContentType: "text/plain", ResponseTopic: "replies/1", CorrelationData: []byte{0, 0xff},
		Expiry: time.Hour, Headers: []message.Header{{Key: "k", Value: "1"}, {Key: "k", Value: "2"}},
	}
	event := sent
	event.ContentType, event.Payload = "application/cloudevents+json", []byte(`{"specversion":"1.0","id":"7","source":"/s","type":"t","data":{"n":1}}`)
	arrived := make(chan message.Message, 2)
	b := mqttbroker.NewBroker(broker.WithAddress(url), mqttbroker.WithCloudEvents("test"))
	if err := errors.Join(b.Init(), b.Connect()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Disconnect() })
	_, err := b.Subscribe("again/#", func(_ context.Context, e broker.Event) error {
		arrived <- e.(mqttbroker.Received).Published()
		return nil
	}, nil, mqttbroker.WithSubscribeQos(2))
	if err != nil {
		t.Fatal(err)
	}
	publisher, err := mqttbroker.NewPublisher(broker.WithAddress(url))
	if err != nil {
		t.Fatal(err)
	}
	if err := publisher.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = publisher.Stop(context.WithoutCancel(t.Context())) })
	file := filepath.Join(t.TempDir(), "a.rec")
	p := begin(t, "", "record", file, "#", "-b", url)
	mqtttest.Eventually(t, patience, func() bool {
		run(t, "", "publish", "-b", url, "-t", "begin", "x")
		return strings.Contains(readFile(t, file), `"begin"`)
	})
	for _, m := range []*message.Message{&sent, &event} {
		if err := publisher.Send(t.Context(), m, nil); err != nil {
			t.Fatal(err)
		}
	}
	mqtttest.Eventually(t, patience, func() bool { return strings.Count(readFile(t, file), `"topic":"a"`) == 2 })
	p.end()
	if err := p.wait(t); err != nil {
		t.Fatal(err)
	}
	run(t, "", "play", file, "-b", url, "--prefix", "again", "--speed", "0")
	for _, want := range []message.Message{sent, event} {
		want.Topic, want.ResponseTopic = "again/a", "again/replies/1"
		got := <-arrived
		for got.Topic == "again/begin" {
			got = <-arrived
		}
		if got.Expiry > want.Expiry || got.Expiry < want.Expiry-time.Minute {
			t.Errorf("expiry %v, want a bit less than %v", got.Expiry, want.Expiry)
		}
		if want.Expiry = got.Expiry; !reflect.DeepEqual(got, want) {
			t.Errorf("got %+v, want %+v", got, want)
		}
	}
}

// The pauses are those of the recording.
func TestPlayAtItsPace(t *testing.T) {
	t.Parallel()
	url := mqtttest.InProcess(t).URL()
	file := filepath.Join(t.TempDir(), "a.rec")
	writeFile(t, file, `{"kratos_mqtt_recording":1}
{"time":"2026-01-01T00:00:00Z","topic":"a","payload":"eA==","qos":1}
{"time":"2026-01-01T00:00:03Z","topic":"a","payload":"eA==","qos":1}
`)
	began := time.Now()
	run(t, "", "play", file, "-b", url, "--speed", "10")
	if took := time.Since(began); took < 300*time.Millisecond {
		t.Errorf("took %v, want the pause of 3 s at 10 times the speed", took)
	}
	writeFile(t, file, `{"kratos_mqtt_recording":2}`)
	if err := begin(t, "", "play", file, "-b", url).wait(t); err == nil || !strings.Contains(err.Error(), "version 2, want 1") {
		t.Errorf("another version: %v", err)
	}
	writeFile(t, file, `{"kratos_mqtt_recording":1}
{"time":"2026-01-01T00:00:00Z","top`)
	if err := begin(t, "", "play", file, "-b", url).wait(t); err == nil || !strings.Contains(err.Error(), "message 1: unexpected EOF") {
		t.Errorf("cut off: %v", err)
	}
}
