package simulate_test

import (
	"strings"
	"testing"
	"time"

	"buf.build/go/protovalidate"

	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/eventproto"
	"github.com/kratos-mqtt/kratos-mqtt/tools/kratos-mqtt/internal/simulate"
)

// Messages keep the rules of protovalidate, and each device has an id of its own also under a rule.
func TestRules(t *testing.T) {
	t.Parallel()
	_, methods := load(t, "testdata")
	m := method(t, methods, "SendRuled")
	fleet, err := simulate.New(m, simulate.Options{Devices: 5, Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	topics := make(map[string]bool)
	for i := range 300 {
		in, topic, err := fleet.Message(i%5, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		topics[topic] = true
		if err := protovalidate.Validate(in); err != nil { // by what services use
			t.Fatalf("%v\n%v", err, in)
		}
		if in.Get(in.Descriptor().Fields().ByName("ignored")).String() == "x" {
			t.Error("a rule that is ignored is kept")
		}
	}
	if len(topics) != 5 {
		t.Errorf("topics of 5 devices: %v", topics)
	}
	if fleet, err = simulate.New(m, simulate.Options{Devices: 1, IgnoreRules: true}); err != nil {
		t.Fatal(err)
	}
	in, _, err := fleet.Message(0, time.Now())
	if err != nil || protovalidate.Validate(in) == nil {
		t.Errorf("with rules ignored: %v, %v", in, err)
	}
}

// Rules that cannot be kept are named; an example helps where only CEL knows what is valid.
func TestRulesOfCEL(t *testing.T) {
	t.Parallel()
	_, methods := load(t, "testdata")
	for name, want := range map[string]string{
		"SendImpossible": "no valid message in 100 attempts: validation error: number: must be two numbers at once",
		"SendFaulty":     "rules of protovalidate: compilation error",
		"SendExpressed":  "",
	} {
		_, err := simulate.New(method(t, methods, name), simulate.Options{Devices: 1, Seed: 1})
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v, want %q", name, err, want)
		}
	}
}

func method(t *testing.T, methods eventproto.Methods, name string) *eventproto.Method {
	t.Helper()
	m, err := methods.Named(name)
	if err != nil {
		t.Fatal(err)
	}
	return m
}
