package badinput_test

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"

	_ "github.com/go-kratos/kratos/v2/encoding/form"
	_ "github.com/go-kratos/kratos/v2/encoding/proto"
	_ "github.com/go-kratos/kratos/v2/encoding/xml"
	_ "github.com/go-kratos/kratos/v2/encoding/yaml"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
	mqttserver "github.com/kratos-mqtt/kratos-mqtt/transport/mqtt"
)

// bomb is a message that is meant to exhaust the decoder.
type bomb struct {
	// rule is the limit or property under test.
	rule string
	// name is the special feature of the case.
	name string
	// topic selects the type that the handler takes.
	topic string
	// contentType is the MQTT 5 content type; "" means no content type.
	contentType string
	// properties are additional encoded properties.
	properties []byte
	payload    func() []byte
	// want is a part of the dead letter's reason, or "" if the handler receives it.
	want string
}

// Bounds on the cost of one message, with payloads of up to 256 KiB.
const (
	mostAllocated = 64 << 20
	mostTime      = 5 * time.Second
	fewestBombs   = 100
)

// outcomes receives the outcome of each message.
type outcomes chan outcome

type outcome struct {
	topic  string
	err    error // of the dead letter
	letter bool
	tries  int
}

var (
	_ event.HandleHook     = outcomes(nil)
	_ event.DeadLetterHook = outcomes(nil)
)

func (o outcomes) OnHandle(i event.HandleInfo) {
	if i.Err == nil {
		o <- outcome{topic: i.Topic, tries: i.Attempt}
	}
}

func (o outcomes) OnDeadLetter(i event.DeadLetterInfo) {
	o <- outcome{topic: i.Topic, err: i.Err, letter: true, tries: i.Attempt}
}

// targets registers a handler for each type that bombs use.
func targets(t *testing.T, srv *mqttserver.Server) {
	t.Helper()
	target[map[string]any](t, srv, "json/map")
	target[[]any](t, srv, "json/list")
	target[reading](t, srv, "json/struct")
	target[structpb.ListValue](t, srv, "proto/list")
	target[structpb.Value](t, srv, "proto/value")
	target[descriptorpb.FileDescriptorProto](t, srv, "proto/file")
	target[anypb.Any](t, srv, "proto/any")
	target[wrapperspb.StringValue](t, srv, "proto/string")
	target[wrapperspb.Int64Value](t, srv, "proto/int64")
	target[wrapperspb.DoubleValue](t, srv, "proto/double")
}

func target[T any](t *testing.T, srv *mqttserver.Server, topic string) {
	t.Helper()
	handle(t, srv, topic, func(context.Context, *T) error { return nil })
}

func TestPayloadBombs(t *testing.T) {
	bombs := slices.Concat(jsonBombs(), protoBombs(), eventBombs(), headerBombs(), contentTypeBombs())
	distinct := make(map[string]bool)
	for _, b := range bombs {
		distinct[b.rule+"/"+b.name] = true
	}
	if len(distinct) < fewestBombs || len(distinct) != len(bombs) {
		t.Errorf("%d bombs, %d of them distinct, want at least %d", len(bombs), len(distinct), fewestBombs)
	}
	throw(t, 5, bombs)
}

// TestPayloadBombs311 uses MQTT 3.1.1, which has no content type, so that the CloudEvents carrier
// inspects every message.
func TestPayloadBombs311(t *testing.T) {
	var bombs []bomb
	for _, b := range slices.Concat(jsonBombs(), eventBombs()) {
		if b.contentType == cloudEvent || b.contentType == "" {
			b.contentType = ""
			bombs = append(bombs, b)
		}
	}
	// This version cannot announce the limit, so the broker may exceed it.
	for _, mib := range []int{1, 8} {
		bombs = append(bombs, bomb{
			rule: "1 MiB of packet", name: fmt.Sprintf("%d MiB of payload", mib), topic: "json/map",
			payload: repeated(`{"a":"`, "x", mib<<20, `"}`), want: large,
		})
	}
	throw(t, 4, bombs, mqttserver.WithBrokerOptions(mqttbroker.WithCloudEvents("/hostile")))
}

// throw publishes one bomb after another and checks the outcome: it reaches the handler or
// becomes a dead letter, nothing panics, memory and time are bounded, and later messages are
// handled.
func throw(t *testing.T, version byte, bombs []bomb, opts ...mqttserver.ServerOption) {
	t.Helper()
	b := mqtttest.Mosquitto(t)
	done := make(outcomes, 10)
	srv, out := client(t, b.URL(), version, append(opts, mqttserver.WithBrokerOptions(mqttbroker.WithHooks(done)))...)
	targets(t, srv)
	start(t, srv)
	raw := mqtttest.Raw(t, b.URL())
	raw.Connect(version, "bomber", true)
	var worst struct {
		allocated uint64
		took      time.Duration
		memory    string
		time      string
	}
	for _, bomb := range bombs {
		t.Run(bomb.rule+"/"+bomb.name, func(t *testing.T) {
			packet := bombPacket(version, bomb, bomb.payload())
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			began := time.Now()
			raw.Send(packet)
			raw.Expect(mqtttest.TypePuback)
			got := result(t, done)
			took := time.Since(began)
			runtime.ReadMemStats(&after)
			judge(t, version, bomb, got)
			allocated := after.TotalAlloc - before.TotalAlloc
			if allocated > worst.allocated {
				worst.allocated, worst.memory = allocated, bomb.name
			}
			if took > worst.took {
				worst.took, worst.time = took, bomb.name
			}
			if allocated > mostAllocated || took > mostTime && !raceEnabled { // the race detector takes a hundred times as long
				t.Errorf("%d bytes allocated within %v", allocated, took)
			}
		})
	}
	t.Logf("%d bombs; most memory: %.1f MiB allocated in all (%s); most time: %v (%s)",
		len(bombs), float64(worst.allocated)/(1<<20), worst.memory, worst.took, worst.time)
	raw.Send(bombPacket(version, bomb{topic: "json/struct"}, []byte(`{"celsius":21.5}`)))
	if got := result(t, done); got.letter {
		t.Errorf("a good message after the bombs: %v", got.err)
	}
	checkLog(t, out.String())
}

func bombPacket(version byte, b bomb, payload []byte) []byte {
	if version == 4 {
		return mqtttest.PacketOf(0x32, mqtttest.StringField(b.topic), mqtttest.Uint16Field(1), payload)
	}
	properties := slices.Clone(b.properties)
	if b.contentType != "" {
		properties = append(append(properties, 3), mqtttest.StringField(b.contentType)...)
	}
	return mqtttest.PacketOf(0x32, mqtttest.StringField(b.topic), mqtttest.Uint16Field(1), variable(len(properties)), properties, payload)
}

// variable encodes a length as in packets.
func variable(n int) (b []byte) {
	for ; n >= 0x80; n >>= 7 {
		b = append(b, byte(n)|0x80)
	}
	return append(b, byte(n))
}

func result(t *testing.T, done outcomes) outcome {
	t.Helper()
	select {
	case got := <-done:
		return got
	case <-time.After(patience):
		t.Fatal("nothing became of it")
		return outcome{}
	}
}

func judge(t *testing.T, version byte, b bomb, got outcome) {
	t.Helper()
	switch {
	case got.topic != b.topic:
		t.Fatalf("outcome of topic %q", got.topic)
	case b.want == "" && got.letter:
		t.Errorf("dead letter: %v", got.err)
	case b.want != "" && !got.letter:
		t.Errorf("handled, want a dead letter: %s", b.want)
	case got.letter && got.tries != 1:
		t.Errorf("%d attempts", got.tries)
	case got.letter && version == 5 && !strings.Contains(got.err.Error(), b.want):
		t.Errorf("dead letter: %v, want %s", got.err, b.want)
	}
	if got.err == nil {
		return
	}
	if text := got.err.Error(); strings.Contains(text, "panic") || len(text) > 1000 || !oneLine(text) {
		t.Errorf("reason %.2000q", text)
	}
}

// oneLine reports whether a text contains nothing that ends a line or controls a terminal.
func oneLine(text string) bool {
	return !strings.ContainsFunc(text, func(r rune) bool { return r != ' ' && !unicode.IsPrint(r) })
}

// checkLog checks that the text of bombs is escaped in the log.
func checkLog(t *testing.T, text string) {
	t.Helper()
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		if !oneLine(line) || !strings.HasPrefix(line, "INFO ") && !strings.HasPrefix(line, "WARN ") && !strings.HasPrefix(line, "ERROR ") {
			t.Errorf("log line %.300q", line)
		}
		if len(line) > 5000 {
			t.Errorf("log line of %d bytes: %.200q", len(line), line)
		}
		if strings.Contains(line, "panic") {
			t.Error(line)
		}
	}
}

// Parts of bombs.

func text(s string) func() []byte { return func() []byte { return []byte(s) } }

func repeated(before, s string, n int, after string) func() []byte {
	return func() []byte { return []byte(before + strings.Repeat(s, n) + after) }
}

func nested(open, inner, shut string, n int) func() []byte {
	return func() []byte { return []byte(strings.Repeat(open, n) + inner + strings.Repeat(shut, n)) }
}

func listOf(element string, n int) func() []byte {
	return func() []byte { return []byte("[" + strings.Repeat(element+",", n-1) + element + "]") }
}

// object returns an object with n members of different names.
func object(n int, format string) func() []byte {
	return func() []byte {
		b := []byte("{")
		for i := range n {
			if i > 0 {
				b = append(b, ',')
			}
			b = fmt.Appendf(b, format, i)
		}
		return append(b, '}')
	}
}
