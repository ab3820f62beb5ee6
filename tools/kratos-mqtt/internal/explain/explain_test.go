package explain_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/types/known/durationpb"

	v1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/v1"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/decode"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/eventproto"
	"github.com/kratos-mqtt/kratos-mqtt/tools/kratos-mqtt/internal/explain"
	"github.com/kratos-mqtt/kratos-mqtt/tools/kratos-mqtt/internal/schema"
)

func plant(t *testing.T) explain.Service {
	t.Helper()
	files, err := schema.Load(t.Context(), "testdata/plant.proto")
	if err != nil {
		t.Fatal(err)
	}
	methods, err := eventproto.OpenMethods(files)
	if err != nil {
		t.Fatal(err)
	}
	return explain.Service{Methods: methods, Decoder: decode.New(files)}
}

func one(t *testing.T, s explain.Service, m explain.Message) explain.Match {
	t.Helper()
	e, err := s.Explain(m)
	if err != nil || len(e.Matches) != 1 {
		t.Fatalf("%q: %+v, %v", m.Topic, e, err)
	}
	return e.Matches[0]
}

// setting returns value and place of a setting.
func setting(m explain.Match, name string) string {
	for _, s := range m.Settings {
		if s.Name == name {
			return s.Value + " | " + s.From
		}
	}
	return ""
}

func settings(t *testing.T, m explain.Match, want map[string]string) {
	t.Helper()
	for name, value := range want {
		if got := setting(m, name); got != value {
			t.Errorf("%s: %q, want %q", name, got, value)
		}
	}
}

const heat = "plant/a/KIND_HEAT/7"

// Settings are from the .proto file, else from the configuration of all subscriptions, else
// defaults.
func TestProtoAndDefaults(t *testing.T) {
	t.Parallel()
	s := plant(t)
	s.Place = "c.yaml mqtt"
	s.Subscriber = &v1.Subscriber{
		Concurrency: 4, HandlerTimeout: durationpb.New(time.Second), Retry: &v1.Retry{MaxAttempts: 9, MaxBackoff: durationpb.New(time.Hour)},
		DeadLetterTopic: "dead", Breaker: &v1.Breaker{}, RetryBudget: durationpb.New(0),
	}
	settings(t, one(t, s, explain.Message{Topic: heat}), map[string]string{
		"group": "savers | .proto", "subscription": "$share/savers/plant/+/+/+ | .proto", "qos": "1 | .proto", "codec": "proto | .proto",
		"ordering_key": "field serial, over all topics of the filter | .proto", "id": "field event_id, unique over all topics of the operation | .proto",
		"concurrency": "4 for all subscriptions | c.yaml mqtt.concurrency", "handler_timeout": "1s | c.yaml mqtt.handler_timeout",
		"retry_budget": "0s: one attempt | c.yaml mqtt.retry_budget", "retry.max_attempts": "3 | .proto", "retry.min_backoff": "1s | .proto", "retry.max_backoff": "2s | .proto",
		"exhausted": "dead_letter | default", "retry.permanent_reasons": "BROKEN | .proto", "dead_letter_topic": "dead/KIND_HEAT/{serial} | .proto",
		"breaker": "after 5 failures within 1m0s, for 5s | c.yaml mqtt.breaker", "session": "the common one | default",
		"trust_sender":    "trace context, baggage and metadata of the sender are used | .proto",
		"ignore_retained": "retained messages are acknowledged without calling the handler | .proto",
		"batch":           "up to 10 messages within 1s, if a batch handler is registered | .proto",
	})
	settings(t, one(t, s, explain.Message{Topic: "plant/log/x/y/z"}), map[string]string{
		"retry.max_attempts": "9 | c.yaml mqtt.retry.max_attempts", "retry.min_backoff": "100ms | default", "retry.max_backoff": "1h0m0s | c.yaml mqtt.retry.max_backoff",
		"dead_letter_topic": "dead | c.yaml mqtt.dead_letter_topic",
		"group":             "none: every instance receives every message | default", "subscription": "plant/log/# | .proto",
	})
}

// The configuration of the operation, or else of its filter, takes precedence over everything.
func TestNamed(t *testing.T) {
	t.Parallel()
	own := &v1.Subscription{
		HandlerTimeout: durationpb.New(time.Minute), RetryBudget: durationpb.New(time.Hour), Retry: &v1.Retry{MaxAttempts: 8, MinBackoff: durationpb.New(time.Millisecond)},
		Exhausted: "park", Reasons: map[string]string{"404": "drop"}, Concurrency: 2, Group: new(""), DeadLetter: new(""), Session: "own", SessionName: "slow",
		TrustSender: new(false), IgnoreRetained: new(false), Breaker: &v1.Breaker{Failures: new(uint32(0))},
	}
	for _, name := range []string{"/plant.v1.Plant/Measure", "plant/+/+/+"} {
		s := plant(t)
		s.Subscriber, s.Place = &v1.Subscriber{Subscriptions: map[string]*v1.Subscription{name: own}}, "c.yaml mqtt"
		at := " | c.yaml mqtt.subscriptions." + name + "."
		settings(t, one(t, s, explain.Message{Topic: heat}), map[string]string{
			"group": "none: every instance receives every message" + at + "group", "subscription": "plant/+/+/+ | .proto",
			"handler_timeout": "1m0s" + at + "handler_timeout", "retry_budget": "1h0m0s" + at + "retry_budget", "retry.max_attempts": "8" + at + "retry.max_attempts",
			"retry.min_backoff": "1ms" + at + "retry.min_backoff", "retry.max_backoff": "2s | .proto", "exhausted": "park" + at + "exhausted",
			"reasons.404": "drop" + at + "reasons.404", "concurrency": "2" + at + "concurrency", "dead_letter_topic": "none: letters are only stored | default",
			"session": "its own: the client id ends with -slow" + at + "session", "breaker": "none" + at + "breaker",
			"trust_sender": "context of the sender is not used" + at + "trust_sender", "ignore_retained": "retained messages are handled as any other" + at + "ignore_retained",
		})
	}
}

// A payload is decoded with the fields of its topic, and problems are explained.
func TestPayload(t *testing.T) {
	t.Parallel()
	s := plant(t)
	payload := protowire.AppendString(protowire.AppendTag(nil, 1, protowire.BytesType), "b")
	payload = protowire.AppendString(protowire.AppendTag(payload, 4, protowire.BytesType), "s1")
	m := one(t, s, explain.Message{Topic: heat, Payload: payload})
	b := m.Binding
	if b.Message != `{"line":"a","kind":"KIND_HEAT","number":7,"serial":"s1"}` || b.Key != "s1" || b.Problem != "" || b.Codec != "proto" {
		t.Errorf("%+v", b)
	}
	if len(b.Contradictions) != 1 || b.Contradictions[0] != "line is b in the payload and a in the topic" {
		t.Errorf("%q", b.Contradictions)
	}
	if got := setting(m, "ordering_key"); got != `field serial, here "s1", over all topics of the filter | .proto` {
		t.Error(got)
	}
	if b := one(t, s, explain.Message{Topic: heat, Payload: []byte(`{"value":1,"event_id":"e"}`), ContentType: "application/json"}).Binding; b.Codec != "json" || b.ID != "e" || b.Problem != "" {
		t.Errorf("%+v", b)
	}
	if b := one(t, s, explain.Message{Topic: "plant/log/x/y/z", Payload: []byte{}}).Binding; b.Message != `{"path":"x/y/z"}` {
		t.Errorf("%+v", b)
	}
	for want, message := range map[string]explain.Message{
		"has a level that is not an integer":          {Topic: "plant/a/KIND_HEAT/seven"},
		"has a level that is not a value of its enum": {Topic: "plant/a/heat/7"},
		"the payload cannot be decoded":               {Topic: heat, Payload: []byte("{")},
		"invalid value x":                             {Topic: heat, Payload: []byte("x"), ContentType: "application/json"},
	} {
		if m := one(t, s, message); !strings.Contains(m.Binding.Problem, want) || !strings.HasPrefix(m.Note, "the handler is not called, and the message becomes a dead letter: ") {
			t.Errorf("%+v: %q %q", message, m.Binding.Problem, m.Note)
		}
	}
}

// The nearest templates are named with the level that differs.
func TestNear(t *testing.T) {
	t.Parallel()
	s := plant(t)
	for name, want := range map[string]string{
		"plant/a/KIND_HEAT":     "/plant.v1.Plant/Measure 4: the topic has 3 levels, and level 4 has to be {number}",
		"plant/a/KIND_HEAT/7/x": `/plant.v1.Plant/Measure 5: level 5, "x", is too much: the template has 4 levels`,
		"Plant/a/KIND_HEAT/7":   `/plant.v1.Plant/Measure 1: level 1 is "Plant", want "plant": upper and lower case differ`,
		"plant/ log/x":          `/plant.v1.Plant/Log 2: level 2 is " log", want "log": it has blanks`,
		"/plant/log/x":          `/plant.v1.Plant/Measure 1: level 1 is "", want "plant": it is empty`,
	} {
		e, err := s.Explain(explain.Message{Topic: name})
		if err != nil || e.Handled() || len(e.Nearest) == 0 {
			t.Fatalf("%s: %+v, %v", name, e, err)
		}
		n := e.Nearest[0]
		if got := n.Operation + " " + string(rune('0'+n.Level)) + ": " + n.Why; got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	for _, name := range []string{"plant/+/x", "plant/{line}", "$share/g/plant/x", "", "a\x00b"} {
		if e, err := s.Explain(explain.Message{Topic: name}); err == nil {
			t.Errorf("%q: %+v", name, e)
		}
	}
}

func TestPrefixOverlapAndUnused(t *testing.T) {
	t.Parallel()
	s := plant(t)
	s.Prefix = "tenants/+"
	s.Subscriber, s.Place = &v1.Subscriber{Subscriptions: map[string]*v1.Subscription{"tenants/+/plant/+/+/+": {Concurrency: 3}, "/plant.v1.Plant/Gone": {}}}, "c.yaml mqtt"
	m := one(t, s, explain.Message{Topic: "tenants/t1/" + heat})
	if m.Filter != "tenants/+/plant/+/+/+" || len(m.Binding.Fields) != 3 || !strings.HasPrefix(setting(m, "concurrency"), "3 |") {
		t.Errorf("%+v", m)
	}
	e, err := s.Explain(explain.Message{Topic: "tenants/t1/plant/log/KIND_HEAT/7"}) // log/# and +/+/+
	if err != nil || len(e.Matches) != 2 || len(e.Notes) != 2 || !strings.Contains(e.Notes[0], `"/plant.v1.Plant/Gone"`) || !strings.HasPrefix(e.Notes[1], "several operations match") {
		t.Errorf("%+v, %v", e, err)
	}
	s.Operation = "/plant.v1.Plant/Log"
	if e, err = s.Explain(explain.Message{Topic: "tenants/t1/plant/log/KIND_HEAT/7"}); err != nil || len(e.Matches) != 1 {
		t.Errorf("%+v, %v", e, err)
	}
}

func TestConfiguration(t *testing.T) {
	t.Parallel()
	const two = "server: {mqtt: {concurrency: 4, subscriptions: {a/b: {concurrency: 3}}}}\nother: {concurrency: 1}\nmqtt: {publisher: {retry: {max_attempts: 2}}, password: '${NONE}'}\n"
	for name, c := range map[string]struct{ text, section, place, err string }{
		"found":   {strings.Replace(two, "other", "#", 1), "", "c.yaml server.mqtt", ""},
		"several": {two, "", "", "has several sections for subscriptions, server.mqtt and other: want --section"},
		"named":   {two, "server.mqtt", "c.yaml server.mqtt", ""},
		"absent":  {two, "server.http", "", "has no section server.http"},
		"none":    {"mqtt: {connection: {client_id: a}}", "", "", ""},
		"empty":   {"", "", "", ""},
		"no YAML": {"a: [", "", "", "c.yaml"},
		"invalid": {"subscriber: {concurrency: many}", "", "", "c.yaml subscriber:1: concurrency: want a whole number"},
	} {
		path := filepath.Join(t.TempDir(), "c.yaml")
		if err := os.WriteFile(path, []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		got, place, err := explain.Configuration(path, c.section)
		if place != c.place || (got != nil) != (c.place != "") || (err != nil) != (c.err != "") || err != nil && !strings.Contains(err.Error(), c.err) {
			t.Errorf("%s: %v, %q, %v", name, got, place, err)
		}
		if c.place != "" && (got.GetConcurrency() != 4 || !slices.Contains([]uint32{3}, got.GetSubscriptions()["a/b"].GetConcurrency())) {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// A shared filter is shown as the broker gets it, and a name that the configuration has in part
// is completed.
func TestSharedPrefixAndHint(t *testing.T) {
	t.Parallel()
	for prefix, want := range map[string]string{"$queue": "$queue/plant/+/+/+", "$SharedSubscription": "$SharedSubscription/savers/plant/+/+/+"} {
		s := plant(t)
		s.Place = "c.yaml mqtt"
		s.Subscriber = &v1.Subscriber{SharedGroupPrefix: prefix, Subscriptions: map[string]*v1.Subscription{"Measure": {}}}
		e, err := s.Explain(explain.Message{Topic: heat})
		if err != nil || len(e.Matches) != 1 {
			t.Fatalf("%+v, %v", e, err)
		}
		settings(t, e.Matches[0], map[string]string{"subscription": want + " | c.yaml mqtt.shared_group_prefix"})
		hint := `c.yaml mqtt.subscriptions has "Measure", which is not an operation or a filter of these descriptors; did you mean "/plant.v1.Plant/Measure"?`
		if !slices.Contains(e.Notes, hint) {
			t.Errorf("%q, want %q", e.Notes, hint)
		}
	}
}
