package golden

import (
	"testing"
	"time"

	"github.com/go-kratos/kratos/v2/transport/http/binding"

	"github.com/kratos-mqtt/kratos-mqtt/tools/internal/golden/cases/nested"
)

func moved() *nested.Moved {
	return &nested.Moved{Place: &nested.Place{Site: "berlin-2", Room: &nested.Place_Room{Name: "kitchen"}}}
}

// BenchmarkBuild builds a topic.
func BenchmarkBuild(b *testing.B) {
	in := moved()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := nested.NestedEvents_Moved_MQTT_Topic(in); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkBuildKratos builds the same topic with the encoder of Kratos' paths.
func BenchmarkBuildKratos(b *testing.B) {
	in, template := moved(), nested.NestedEvents_MQTT_ServiceDesc.Methods[0].Topic
	b.ReportAllocs()
	for b.Loop() {
		binding.EncodeURL(template, in, false)
	}
}

// BenchmarkBind binds a topic to an existing message.
func BenchmarkBind(b *testing.B) {
	in, bind := moved(), handler(b, "/golden.nested.NestedEvents/Moved").Bind[0]
	b.ReportAllocs()
	for b.Loop() {
		if _, err := bind("sites/berlin-2/rooms/kitchen", in); err != nil {
			b.Fatal(err)
		}
	}
}

// TestAllocations bounds the allocations of generated code: at most 2 to build a topic,
// none to bind the fields of a message.
func TestAllocations(t *testing.T) {
	in, bind := moved(), handler(t, "/golden.nested.NestedEvents/Moved").Bind[0]
	if n := testing.AllocsPerRun(100, func() {
		if _, err := nested.NestedEvents_Moved_MQTT_Topic(in); err != nil {
			t.Fatal(err)
		}
	}); n > 2 {
		t.Errorf("%v allocations for a topic, want at most 2", n)
	}
	if n := testing.AllocsPerRun(100, func() {
		if _, err := bind("sites/berlin-2/rooms/kitchen", in); err != nil {
			t.Fatal(err)
		}
	}); n > 0 {
		t.Errorf("%v allocations to bind, want none", n)
	}
}

// TestFasterThanKratos requires topics to be built at least three times as fast as
// Kratos' paths, also on a busy machine; the benchmarks show the actual factor.
func TestFasterThanKratos(t *testing.T) {
	in, template := moved(), nested.NestedEvents_MQTT_ServiceDesc.Methods[0].Topic
	if path := binding.EncodeURL(template, in, false); path != "sites/berlin-2/rooms/kitchen" {
		t.Fatalf("Kratos makes %q", path)
	}
	ours := func() { nested.NestedEvents_Moved_MQTT_Topic(in) }
	theirs := func() { binding.EncodeURL(template, in, false) }
	var best float64
	for range 20 {
		if best = max(best, float64(duration(theirs))/float64(duration(ours))); best >= 3 {
			return
		}
	}
	t.Errorf("%.1f times as fast as Kratos, want at least 3", best)
}

// duration returns the shortest time of a few rounds.
func duration(f func()) time.Duration {
	least := time.Hour
	for range 5 {
		start := time.Now()
		for range 1000 {
			f()
		}
		least = min(least, time.Since(start))
	}
	return least
}
