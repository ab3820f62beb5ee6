package golden

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/event/eventimpl"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/eventproto"
	"github.com/kratos-mqtt/kratos-mqtt/tools/internal/golden/cases/editionhybrid"
	"github.com/kratos-mqtt/kratos-mqtt/tools/internal/golden/cases/editionopaque"
	"github.com/kratos-mqtt/kratos-mqtt/tools/internal/golden/cases/editionopen"
	"github.com/kratos-mqtt/kratos-mqtt/tools/internal/golden/cases/nested"
	"github.com/kratos-mqtt/kratos-mqtt/tools/internal/golden/cases/params"
	"github.com/kratos-mqtt/kratos-mqtt/tools/internal/golden/cases/proto2"
	"github.com/kratos-mqtt/kratos-mqtt/tools/internal/golden/cases/tail"
)

// registrar records the handlers that generated code registers.
type registrar []event.Handler

func (r *registrar) RegisterService(_ *event.ServiceDesc, handlers []event.Handler, _ ...event.RegisterOption) {
	*r = append(*r, handlers...)
}

// builder builds the topic of a message of its type.
type builder func(proto.Message) (string, error)

func build[T proto.Message](f func(T) (string, error)) builder {
	return func(m proto.Message) (string, error) { return f(m.(T)) }
}

// builders returns the generated builder of each operation.
func builders() map[string]builder {
	return map[string]builder{
		"/golden.params.ParamEvents/Numbers":     build(params.ParamEvents_Numbers_MQTT_Topic),
		"/golden.params.ParamEvents/Texts":       build(params.ParamEvents_Texts_MQTT_Topic),
		"/golden.params.ParamEvents/First":       build(params.ParamEvents_First_MQTT_Topic),
		"/golden.params.ParamEvents/Present":     build(params.ParamEvents_Present_MQTT_Topic),
		"/golden.nested.NestedEvents/Moved":      build(nested.NestedEvents_Moved_MQTT_Topic),
		"/golden.proto2.BoxEvents/Moved":         build(proto2.BoxEvents_Moved_MQTT_Topic),
		"/golden.tail.TailEvents/Log":            build(tail.TailEvents_Log_MQTT_Topic),
		"/golden.tail.TailEvents/Everything":     build(tail.TailEvents_Everything_MQTT_Topic),
		"/golden.editionopen.ThingEvents/Tell":   build(editionopen.ThingEvents_Tell_MQTT_Topic),
		"/golden.editionopen.ThingEvents/Ask":    build(editionopen.ThingEvents_Ask_MQTT_Topic),
		"/golden.editionhybrid.ThingEvents/Tell": build(editionhybrid.ThingEvents_Tell_MQTT_Topic),
		"/golden.editionhybrid.ThingEvents/Ask":  build(editionhybrid.ThingEvents_Ask_MQTT_Topic),
		"/golden.editionopaque.ThingEvents/Tell": build(editionopaque.ThingEvents_Tell_MQTT_Topic),
		"/golden.editionopaque.ThingEvents/Ask":  build(editionopaque.ThingEvents_Ask_MQTT_Topic),
	}
}

// handlers returns the handlers that the generated servers of these cases register.
func handlers() (all registrar) {
	params.RegisterParamEventsMQTTServer(&all, struct{ params.ParamEventsMQTTServer }{})
	nested.RegisterNestedEventsMQTTServer(&all, struct{ nested.NestedEventsMQTTServer }{})
	proto2.RegisterBoxEventsMQTTServer(&all, struct{ proto2.BoxEventsMQTTServer }{})
	tail.RegisterTailEventsMQTTServer(&all, struct{ tail.TailEventsMQTTServer }{})
	editionopen.RegisterThingEventsMQTTServer(&all, struct {
		editionopen.ThingEventsMQTTServer
	}{})
	editionhybrid.RegisterThingEventsMQTTServer(&all, struct {
		editionhybrid.ThingEventsMQTTServer
	}{})
	editionopaque.RegisterThingEventsMQTTServer(&all, struct {
		editionopaque.ThingEventsMQTTServer
	}{})
	return all
}

// handler returns the handler of one operation.
func handler(tb testing.TB, operation string) event.Handler {
	tb.Helper()
	for _, h := range handlers() {
		if h.Method.Operation == operation {
			return h
		}
	}
	tb.Fatalf("%s is not registered", operation)
	return event.Handler{}
}

// FuzzRoundTrip sets the fields of each template to random values: either the builder
// refuses them, or binding the topic restores the same values.
func FuzzRoundTrip(f *testing.F) {
	all := handlers()
	for _, text := range []string{"", "kitchen", "a/b", "a//b", "/", "+", "#", "$SYS", "ä", "\xff", "\x00", "a b", "true", "007", strings.Repeat("x", 70000)} {
		f.Add(uint64(len(text)), text)
	}
	f.Fuzz(func(t *testing.T, seed uint64, text string) {
		random := rand.New(rand.NewPCG(seed, 1))
		for _, h := range all {
			roundTrip(t, h, random, text)
		}
	})
}

func roundTrip(t *testing.T, h event.Handler, random *rand.Rand, text string) {
	t.Helper()
	template, err := eventproto.ParseTemplate(h.Method.Topic, false)
	if err != nil {
		t.Fatal(err)
	}
	in := h.New()
	for _, level := range template.Levels {
		fill(in.ProtoReflect(), level.Param, random, text)
	}
	topic, err := builders()[h.Method.Operation](in)
	if err != nil {
		return
	}
	if !eventimpl.Overlap(h.Method.Filters[0], topic) {
		t.Fatalf("%s: topic %q does not match %q", h.Method.Operation, topic, h.Method.Filters[0])
	}
	out := h.New()
	if _, err := h.Bind[0](topic, out); err != nil {
		t.Fatalf("%s: topic %q of %v is not bound: %v", h.Method.Operation, topic, in, err)
	}
	for _, level := range template.Levels {
		if want, got := value(in, level.Param), value(out, level.Param); !want.Equal(got) {
			t.Fatalf("%s: topic %q: %v is %v, want %v", h.Method.Operation, topic, level.Param, got, want)
		}
	}
	if mismatch, err := h.Bind[0](topic, in); mismatch != "" || err != nil {
		t.Fatalf("%s: topic %q contradicts the message it is made of: %q, %v", h.Method.Operation, topic, mismatch, err)
	}
}

// value returns the value of a field, its default if it is not set.
func value(m proto.Message, path []string) protoreflect.Value {
	if path == nil {
		return protoreflect.ValueOfBool(true)
	}
	r := m.ProtoReflect()
	for _, name := range path[:len(path)-1] {
		r = r.Get(r.Descriptor().Fields().ByName(protoreflect.Name(name))).Message()
	}
	return r.Get(r.Descriptor().Fields().ByName(protoreflect.Name(path[len(path)-1])))
}

// fill sets a field with a probability of seven in eight.
func fill(m protoreflect.Message, path []string, random *rand.Rand, text string) {
	if path == nil || random.IntN(8) == 0 {
		return
	}
	f := m.Descriptor().Fields().ByName(protoreflect.Name(path[0]))
	if len(path) > 1 {
		fill(m.Mutable(f).Message(), path[1:], random, text)
		return
	}
	m.Set(f, scalar(f, random, text))
}

func scalar(f protoreflect.FieldDescriptor, random *rand.Rand, text string) protoreflect.Value {
	number := random.Uint64() >> random.UintN(64)
	if random.IntN(4) == 0 {
		number = []uint64{0, 1, math.MaxInt32, 1 << 31, math.MaxUint32, math.MaxInt64, 1 << 63, math.MaxUint64}[random.IntN(8)]
	}
	switch f.Kind() {
	case protoreflect.BoolKind:
		return protoreflect.ValueOfBool(number%2 == 0)
	case protoreflect.StringKind:
		if random.IntN(2) == 0 {
			return protoreflect.ValueOfString("level")
		}
		return protoreflect.ValueOfString(text)
	case protoreflect.EnumKind:
		return protoreflect.ValueOfEnum(protoreflect.EnumNumber(number % 3))
	case protoreflect.Int32Kind, protoreflect.Sint32Kind, protoreflect.Sfixed32Kind:
		return protoreflect.ValueOfInt32(int32(number))
	case protoreflect.Uint32Kind, protoreflect.Fixed32Kind:
		return protoreflect.ValueOfUint32(uint32(number))
	case protoreflect.Uint64Kind, protoreflect.Fixed64Kind:
		return protoreflect.ValueOfUint64(number)
	}
	return protoreflect.ValueOfInt64(int64(number))
}

// FuzzBind passes invalid topics to the generated code. The builder must accept every
// message that was bound successfully.
func FuzzBind(f *testing.F) {
	all := handlers()
	for _, topic := range []string{
		"n/-1/-1/1/1/-1/-1/1/1/-1/-1", "n/2147483648/1/1/1/1/1/1/1/1/1", "n/007/+1/-1/1_0/0x1/1e1/ 1/1//", "n/",
		"t/x/true/KIND_ALERT/NONE", "t/x/yes/1/", "x/first/only/one/two/three", "$x/first/only/one/two/three",
		"p/x/1/KIND_ALARM", "sites/a/rooms/b", "sites//rooms/", "logs/h/a/b/c", "logs/h", "logs/h/", "logs//a", "/", "",
		"things/i/1/MODE_ON/p/true", "ask/\xff", "ask/\x00", "$SYS/a", "#", "+/+", "a\u0085",
	} {
		f.Add(topic)
	}
	f.Fuzz(func(t *testing.T, topic string) {
		for _, h := range all {
			in := h.New()
			if _, err := h.Bind[0](topic, in); err != nil {
				continue
			}
			again, err := builders()[h.Method.Operation](in)
			if len(topic) < 65000 && err != nil { // brokers send no longer topics
				t.Fatalf("%s: %q is bound, but refused by the builder: %v", h.Method.Operation, topic, err)
			}
			if err == nil && strings.Count(again, "/") != strings.Count(topic, "/") {
				t.Fatalf("%s: %q comes back as %q", h.Method.Operation, topic, again)
			}
		}
	})
}

// TestBuildersAreComplete compares the table with the generated code.
func TestBuildersAreComplete(t *testing.T) {
	t.Parallel()
	for _, h := range handlers() {
		if builders()[h.Method.Operation] == nil || len(h.Bind) != 1 {
			t.Errorf("%s has no builder here, or %d binders", h.Method.Operation, len(h.Bind))
		}
	}
}
