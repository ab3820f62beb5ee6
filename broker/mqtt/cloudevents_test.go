package mqtt_test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/tx7do/kratos-transport/broker"
	"google.golang.org/protobuf/types/known/wrapperspb"

	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/event/deadletter"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
)

// eachVersion runs a test on both versions of MQTT.
func eachVersion(t *testing.T, test func(t *testing.T, url string, version broker.Option)) {
	t.Helper()
	t.Run("3.1.1", func(t *testing.T) {
		t.Parallel()
		test(t, mqtttest.InProcess(t).URL(), mqttbroker.WithProtocol("3.1.1"))
	})
	t.Run("5", func(t *testing.T) {
		t.Parallel()
		test(t, mqtttest.Mosquitto(t).URL(), mqttbroker.WithProtocol("5"))
	})
}

func TestCloudEventsOnTheWire(t *testing.T) {
	t.Parallel()
	eachVersion(t, func(t *testing.T, url string, version broker.Option) {
		raw := subscribe(t, connected(t, url, mqttbroker.WithProtocol("3.1.1")), "readings")
		b := connected(t, url, version, mqttbroker.WithCloudEvents("/plants/1"))
		started := time.Now().Add(-time.Second)
		tests := map[string]struct {
			msg  *broker.Message
			opts []broker.PublishOption
			want map[string]any // all attributes except id and time
		}{
			"JSON": {
				broker.NewMessage(map[string]int{"n": 1}, broker.WithHeader("tenant", "t")), nil,
				map[string]any{"type": "bytes", "data": map[string]any{"n": 1.0}, "datacontenttype": "application/json", "tenant": "t"},
			},
			"protobuf": {
				broker.NewMessage(wrapperspb.String("a")),
				[]broker.PublishOption{codec("proto")},
				map[string]any{"type": "google.protobuf.StringValue", "data_base64": "CgFh", "datacontenttype": "application/protobuf"},
			},
			"attributes by header": {
				broker.NewMessage("x", broker.WithHeaders(broker.Headers{"type": "t", "source": "s", "subject": "u"})), nil,
				map[string]any{"type": "t", "source": "s", "subject": "u", "data": "x", "datacontenttype": "application/json"},
			},
		}
		for name, tt := range tests {
			t.Run(name, func(t *testing.T) {
				if err := b.Publish(within(t, patience), "readings", tt.msg, tt.opts...); err != nil {
					t.Fatal(err)
				}
				var got map[string]any
				if err := json.Unmarshal([]byte(receive(t, raw).body), &got); err != nil {
					t.Fatal(err)
				}
				id, err := uuid.Parse(got["id"].(string))
				if err != nil || id.Version() != 7 {
					t.Errorf("id %v: %v", got["id"], err)
				}
				at, err := time.Parse(time.RFC3339Nano, got["time"].(string))
				if err != nil || at.Before(started) {
					t.Errorf("time %v: %v", got["time"], err)
				}
				delete(got, "id")
				delete(got, "time")
				want := map[string]any{"specversion": "1.0", "source": "/plants/1", "subject": "readings"}
				maps.Copy(want, tt.want)
				if !reflect.DeepEqual(got, want) {
					t.Errorf("got  %v\nwant %v", got, want)
				}
			})
		}
	})
}

func TestCloudEventsBothWays(t *testing.T) {
	t.Parallel()
	eachVersion(t, func(t *testing.T, url string, version broker.Option) {
		b := connected(t, url, version, mqttbroker.WithCloudEvents("/plants/1"))
		got := messages(t, b, "a", func() any { return new(stringValue) })
		bytes := messages(t, b, "bytes", nil)
		for _, name := range []string{"json", "proto"} {
			msg := broker.NewMessage(newString("v"), broker.WithID("id-1"), broker.WithHeader("tenant", "t"))
			if err := b.Publish(within(t, patience), "a", msg, codec(name)); err != nil {
				t.Fatal(err)
			}
			m := receive(t, got)
			if m.ID != "id-1" || m.Headers["tenant"] != "t" || m.Headers["source"] != "/plants/1" ||
				m.Body.(*stringValue).GetValue() != "v" {
				t.Errorf("%s: got %+v", name, m)
			}
		}
		publish(t, b, "bytes", []byte{0, 1, 2}, codec("json"))
		if m := receive(t, bytes); string(m.Body.([]byte)) != `"AAEC"` { // bytes as JSON
			t.Errorf("got %q", m.Body)
		}
	})
}

// A message that is not an event is handled as a bare message.
func TestBareMessagesBesideCloudEvents(t *testing.T) {
	t.Parallel()
	eachVersion(t, func(t *testing.T, url string, version broker.Option) {
		bare := connected(t, url, mqttbroker.WithProtocol("3.1.1"), broker.WithCodec("")) // no content type
		got := subscribe(t, connected(t, url, version, mqttbroker.WithCloudEvents("/s")), "a")
		for in, want := range map[string]string{
			`{"specversion":"1.0","id":"1","source":"s","type":"t","data":{"n":1}}`:       `{"n":1}`,
			`{"specversion":"1.0","id":"1","source":"s","type":"t","data_base64":"AAE="}`: "\x00\x01",
			`{"specversion":"1.0","id":"1","source":"s","type":"t"}`:                      "",
			`{"n":1}`: `{"n":1}`,
			`{`:       `{`,
			"text":    "text",
		} {
			publish(t, bare, "a", in)
			if m := receive(t, got); m.body != want {
				t.Errorf("%s: got %q, want %q", in, m.body, want)
			}
		}
	})
}

// A message that is declared as an event and is malformed becomes a dead letter. As a
// bare message, a JSON handler would receive it as a zero value.
func TestBrokenCloudEventIsNoBareMessage(t *testing.T) {
	t.Parallel()
	eachVersion(t, func(t *testing.T, url string, version broker.Option) {
		bare := connected(t, url, mqttbroker.WithProtocol("3.1.1"), broker.WithCodec("")) // no content type
		letters := deadletter.NewMemory(0)
		b := connected(t, url, version, mqttbroker.WithCloudEvents("/s"), mqttbroker.WithDeadLetters(letters))
		got := messages(t, b, "a", func() any { return new(map[string]any) })
		broken := []string{
			`{"specversion":"0.3","id":"1","source":"s","type":"t","data":{"n":1}}`,
			`{"specversion":"1.0","id":"1","source":"s","data":{"n":1}}`,
			`{"specversion":"1.0","id":"1","source":"s","type":"t","data_base64":"no code"}`,
			`{"specversion":"1.0","id":"1","source":"s","type":"t","data":1,"data_base64":"AA=="}`,
			`{"specversion":null,"data":{"n":1}}`,
		}
		for _, payload := range broken {
			publish(t, bare, "a", payload)
		}
		publish(t, bare, "a", `{"n":1}`) // handled after the others
		if m := receive(t, got); fmt.Sprint(*m.Body.(*map[string]any)) != "map[n:1]" {
			t.Errorf("got %v", m.Body)
		}
		list, err := letters.List(t.Context(), deadletter.Query{})
		if err != nil || len(list) != len(broken) {
			t.Errorf("%d letters, %v", len(list), err)
		}
	})
}

// The content type is compared without case, and its parameters are ignored. An event
// of an unknown format becomes a dead letter that names the format.
func TestFormsOfCloudEvents(t *testing.T) {
	t.Parallel()
	letters := deadletter.NewMemory(0)
	b := mqtt5(t, broker.WithCodec(""), mqttbroker.WithDeadLetters(letters))
	got := messages(t, b, "a", nil)
	const text = `{"specversion":"1.0","id":"7","source":"s","type":"t","data":{"n":1}}`
	for _, contentType := range []string{"application/cloudevents+json", "Application/CloudEvents+JSON;charset=utf-8", "application/cloudevents"} {
		for _, in := range []string{text, "\n" + text, "\uFEFF" + text} {
			publish(t, b, "a", in, mqttbroker.WithCallOptions(event.ContentType(contentType)))
			if m := receive(t, got); m.ID != "7" || string(m.Body.([]byte)) != `{"n":1}` {
				t.Errorf("%s, %q: got %+v", contentType, in, m)
			}
		}
	}
	for _, contentType := range []string{"application/cloudevents-batch+json", "application/cloudevents+avro"} {
		publish(t, b, "a", "["+text+"]", mqttbroker.WithCallOptions(event.ContentType(contentType)))
	}
	publish(t, b, "a", text, mqttbroker.WithCallOptions(event.ContentType("application/json"))) // the content type rules out an event
	if m := receive(t, got); string(m.Body.([]byte)) != text {
		t.Errorf("got %+v", m)
	}
	list, err := letters.List(t.Context(), deadletter.Query{})
	if err != nil || len(list) != 2 {
		t.Fatalf("%d letters, %v", len(list), err)
	}
	for _, l := range list {
		if !strings.Contains(l.Reason, l.ContentType) || !strings.Contains(l.Reason, "want application/cloudevents+json") {
			t.Errorf("reason %s", l.Reason)
		}
	}
}

// An empty message deletes a retained message, whatever its content type.
func TestDeletionWithAContentType(t *testing.T) {
	t.Parallel()
	letters := deadletter.NewMemory(0)
	b := mqtt5(t, broker.WithCodec(""), mqttbroker.WithDeadLetters(letters), mqttbroker.WithCloudEvents("/s"))
	got := messages(t, b, "a", func() any { return new(map[string]any) }, mqttbroker.WithSubscribeCodec("json"))
	p, err := mqttbroker.NewPublisher(broker.WithAddress(b.Options().Addrs...), mqttbroker.WithProtocol("5"))
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Start(within(t, patience)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Stop(context.Background()) })
	for _, contentType := range []string{"application/cloudevents+json", "application/cloudevents-batch+json", "application/json", "", "text/plain"} {
		if err := p.Publish(within(t, patience), "a", nil, event.Retain(true), event.ContentType(contentType)); err != nil {
			t.Fatal(err)
		}
	}
	if err := p.Publish(within(t, patience), "a", []byte(`{"n":1}`)); err != nil { // handled after the others
		t.Fatal(err)
	}
	if m := receive(t, got); fmt.Sprint(*m.Body.(*map[string]any)) != "map[n:1]" {
		t.Errorf("got %v", m.Body)
	}
	if n := b.Health().Deletions; n != 5 {
		t.Errorf("%d deletions, want 5", n)
	}
	if st, err := letters.Stats(t.Context()); err != nil || st.Dead > 0 {
		t.Errorf("%+v, %v", st, err)
	}
}

// JSON may begin with a byte order mark, whether or not it is an event.
func TestByteOrderMark(t *testing.T) {
	t.Parallel()
	eachVersion(t, func(t *testing.T, url string, version broker.Option) {
		bare := connected(t, url, mqttbroker.WithProtocol("3.1.1"), broker.WithCodec("")) // no content type
		b := connected(t, url, version, mqttbroker.WithCloudEvents("/s"))
		got := messages(t, b, "a", func() any { return new(map[string]any) })
		for _, in := range []string{`{"n":1}`, `{"specversion":"1.0","id":"7","source":"s","type":"t","data":{"n":1}}`} {
			publish(t, bare, "a", "\uFEFF"+in)
			if m := receive(t, got); fmt.Sprint(*m.Body.(*map[string]any)) != "map[n:1]" {
				t.Errorf("%s: got %v", in, m.Body)
			}
		}
	})
}

// On MQTT 5 the content type identifies an event without any option. A message whose
// content type is wrong is malformed.
func TestCloudEventsByContentType(t *testing.T) {
	t.Parallel()
	b := mqtt5(t, broker.WithCodec(""))
	got := messages(t, b, "a", nil)
	letters := subscribe(t, b, "dead-letter/+/+/+")
	structured := mqttbroker.WithCallOptions(event.ContentType("application/cloudevents+json; charset=utf-8"))
	publish(t, b, "a", `{"specversion":"1.0","id":"7","source":"s","type":"t","tenant":"x","n":5,"data":"d","datacontenttype":"text/plain"}`, structured)
	if m := receive(t, got); m.ID != "7" || string(m.Body.([]byte)) != "d" || m.Headers["tenant"] != "x" || m.Headers["n"] != "5" {
		t.Errorf("got %+v", m)
	}
	publish(t, b, "a", "no event", structured)
	receive(t, letters)
}

// The properties of a dead letter have a meaning only on topics of dead letters: on
// other topics a sender cannot use them to switch the envelope off.
func TestLetterPropertiesAreOfLettersOnly(t *testing.T) {
	t.Parallel()
	b := mqtt5(t, broker.WithCodec(""), mqttbroker.WithDeadLetterTopic("dead"))
	for topic, opts := range map[string][]broker.SubscribeOption{
		"a": nil, "letters": {mqttbroker.WithSubscribeDeadLetters()}, "dead": nil, "dead-letter/x/00/1": nil,
	} {
		got := messages(t, b, topic, nil, opts...)
		publish(t, b, topic, `{"specversion":"1.0","id":"7","source":"s","type":"t","name":"EVIL","data":"good","datacontenttype":"text/plain"}`,
			mqttbroker.WithCallOptions(event.ContentType("application/cloudevents+json"), event.Header("dead-letter-id", "x")))
		m := receive(t, got)
		if letter := topic != "a"; (string(m.Body.([]byte)) == "good") == letter || (m.ID == "7") == letter {
			t.Errorf("%s: id %q, %s", topic, m.ID, m.Body)
		}
	}
}

func TestCloudEventsInBinaryMode(t *testing.T) {
	t.Parallel()
	b := mqtt5(t)
	got := messages(t, b, "a", nil)
	for _, prefix := range []string{"", "ce-", "CE-"} {
		opts := []broker.PublishOption{mqttbroker.WithCallOptions(event.Header("other", "o"))}
		for k, v := range map[string]string{"specversion": "1.0", "id": "7", "source": "s", "type": "t"} {
			opts = append(opts, mqttbroker.WithCallOptions(event.Header(prefix+k, v)))
			if prefix == "CE-" {
				opts[len(opts)-1] = mqttbroker.WithCallOptions(event.Header("Ce-"+strings.ToUpper(k), v))
			}
		}
		publish(t, b, "a", "x", opts...)
		if m := receive(t, got); m.ID != "7" || m.Headers["type"] != "t" || m.Headers["other"] != "o" || string(m.Body.([]byte)) != `"x"` {
			t.Errorf("prefix %q: got %+v", prefix, m)
		}
	}
}

func TestCloudEventsRefuseIllegalNames(t *testing.T) {
	t.Parallel()
	b := connected(t, mqtttest.InProcess(t).URL(), mqttbroker.WithProtocol("3.1.1"), mqttbroker.WithCloudEvents("/s"))
	for _, h := range []broker.Headers{
		{"X": ""},
		{"a-b": ""},
		{"a_b": ""},
		{"": ""},
		{"ü": ""},
		{"data": ""},
		{"data_base64": ""},
		{"datacontenttype": ""},
		{"responsetopic": ""},
		{"correlationdata": ""},
		{"specversion": "0.3"},
		{"source": ""},
		{"type": ""},
	} {
		err := b.Publish(within(t, patience), "a", broker.NewMessage("x", broker.WithHeaders(h)))
		wantReason(t, err, event.ReasonCodec, 400)
	}
	for _, source := range []string{"", "://"} {
		wantReason(t, open(t, "mqtt://127.0.0.1:1", mqttbroker.WithCloudEvents(source)).Init(), event.ReasonBadRequest, 400)
	}
}

func TestPublisherCarriesCloudEvents(t *testing.T) {
	t.Parallel()
	url := mqtttest.InProcess(t).URL()
	got := messages(t, connected(t, url, mqttbroker.WithProtocol("3.1.1"), mqttbroker.WithCloudEvents("/s")), "a", nil)
	p, err := mqttbroker.NewPublisher(broker.WithAddress(url), mqttbroker.WithProtocol("3.1.1"), mqttbroker.WithCloudEvents("/s"))
	if err != nil {
		t.Fatal(err)
	}
	ctx := within(t, patience)
	if err := p.Start(ctx); err != nil {
		t.Fatal(err)
	}
	if err := p.Publish(ctx, "a", []byte("x"), event.Header("k", "v")); err != nil {
		t.Error(err)
	}
	if m := receive(t, got); string(m.Body.([]byte)) != "x" || m.Headers["k"] != "v" {
		t.Errorf("got %+v", m)
	}
	wantReason(t, p.Publish(ctx, "a", nil, event.Header("a-b", "v")), event.ReasonCodec, 400)
	if err := p.Stop(ctx); err != nil {
		t.Error(err)
	}
}

// JSON text may begin with white space, and so may an event. A handler must not receive
// the whole event in place of its data.
func TestCloudEventBehindWhiteSpace(t *testing.T) {
	t.Parallel()
	eachVersion(t, func(t *testing.T, url string, version broker.Option) {
		bare := connected(t, url, mqttbroker.WithProtocol("3.1.1"), broker.WithCodec("")) // no content type
		got := subscribe(t, connected(t, url, version, mqttbroker.WithCloudEvents("/s")), "a")
		const text = `{"specversion":"1.0","id":"1","source":"s","type":"t","data":{"n":1}}`
		for _, space := range []string{"\n", "\r\n", " ", "\t", " \t\r\n "} {
			publish(t, bare, "a", space+text+space)
			if m := receive(t, got); m.body != `{"n":1}` {
				t.Errorf("behind %q: got %q", space, m.body)
			}
		}
		for _, other := range []string{"\n", " ", "\n1", "\v" + text} { // none of these is an object
			publish(t, bare, "a", other)
			if m := receive(t, got); m.body != other {
				t.Errorf("%q: got %q", other, m.body)
			}
		}
	})
}
