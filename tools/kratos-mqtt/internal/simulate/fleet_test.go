package simulate_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoregistry"

	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/decode"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/eventproto"
	"github.com/kratos-mqtt/kratos-mqtt/tools/kratos-mqtt/internal/schema"
	"github.com/kratos-mqtt/kratos-mqtt/tools/kratos-mqtt/internal/simulate"
)

// load returns the operations of the reference service and of the examples of the generator.
func load(t *testing.T, folders ...string) (*protoregistry.Files, eventproto.Methods) {
	t.Helper()
	files, err := schema.Load(t.Context(), folders...)
	if err != nil {
		t.Fatal(err)
	}
	methods, err := eventproto.OpenMethods(files)
	if err != nil {
		t.Fatal(err)
	}
	return files, methods
}

// Every operation has messages that its service can read, on topics that it subscribes to, and
// the same seed makes the same ones.
func TestFleet(t *testing.T) {
	t.Parallel()
	files, methods := load(t, "../../../../api", "testdata")
	decoder := decode.New(files)
	now := time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)
	if len(methods) < 8 {
		t.Fatalf("%d operations", len(methods))
	}
	for _, m := range methods {
		a, err := simulate.New(m, simulate.Options{Devices: 3, Seed: 42})
		if err != nil {
			if !m.Topics[0].Wild() && m.Desc.Parent().FullName() != "rules.v1.RulesEvents" {
				t.Errorf("%s: %v", m.Operation, err)
			}
			continue
		}
		again, err := simulate.New(m, simulate.Options{Devices: 3, Seed: 42})
		if err != nil {
			t.Fatal(err)
		}
		topics := make(map[string]bool)
		for i := range 60 {
			in, topic, err := a.Message(i%3, now)
			if err != nil {
				t.Fatalf("%s: %v", m.Operation, err)
			}
			topics[fmt.Sprint(i%3, topic)] = true
			same, _, err := again.Message(i%3, now)
			if err != nil || !proto.Equal(in, same) {
				t.Fatalf("%s: the same seed makes %v and %v, %v", m.Operation, in, same, err)
			}
			payload, err := proto.Marshal(in)
			if err != nil {
				t.Fatal(err)
			}
			got := decoder.Decode(decode.Payload{Bytes: payload, ContentType: "application/protobuf", Operation: m.Operation})
			if len(payload) > 0 && !strings.HasPrefix(got.Decoder, decode.Proto) || !topicOf(m, topic) {
				t.Errorf("%s: %s on %s: %+v", m.Operation, in, topic, got)
			}
		}
		if m.Operation == "/device.v1.DeviceEvents/RecordTelemetry" && len(topics) != 3 {
			t.Errorf("topics of 3 devices: %v", topics)
		}
	}
}

func topicOf(m *eventproto.Method, topic string) bool {
	return len(eventproto.Methods{m}.Of(topic)) == 1
}

func TestFleetRefuses(t *testing.T) {
	t.Parallel()
	_, methods := load(t, "../../../../api")
	m, err := methods.Named("RecordTelemetry")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := simulate.New(m, simulate.Options{Devices: 0, Seed: 1}); err == nil || !strings.Contains(err.Error(), "0 devices") {
		t.Errorf("no devices: %v", err)
	}
}

// Measurements stay in their range and change slowly.
func TestWalk(t *testing.T) {
	t.Parallel()
	_, methods := load(t, "../../../../api")
	m, err := methods.Named("RecordTelemetry")
	if err != nil {
		t.Fatal(err)
	}
	fleet, err := simulate.New(m, simulate.Options{Devices: 1, Seed: 7})
	if err != nil {
		t.Fatal(err)
	}
	field := m.Desc.Input().Fields().ByName("temperature")
	last, seen := 0.0, 0
	for range 500 {
		in, _, err := fleet.Message(0, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		if !in.Has(field) {
			continue
		}
		value := in.Get(field).Float()
		if value < 15 || value > 30 || last != 0 && (value-last > 2 || last-value > 2) {
			t.Errorf("%v after %v", value, last)
		}
		last = value
		seen++
	}
	if seen < 300 || seen == 500 {
		t.Errorf("an optional field is set in %d of 500 messages", seen)
	}
}
