package roundtrip

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	v1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/v1"
	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/event/deadletter/deadletterfile"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
	"github.com/kratos-mqtt/kratos-mqtt/tools/internal/golden/cases/plant"
	mqttserver "github.com/kratos-mqtt/kratos-mqtt/transport/mqtt"
)

// failing returns a server whose messages of plant/shown/{device} fail and are parked.
func failing(t *testing.T) (srv *mqttserver.Server, send func(topic, key string)) {
	t.Helper()
	letters, err := deadletterfile.Open(filepath.Join(t.TempDir(), "letters"), deadletterfile.Options{})
	must(t, err)
	t.Cleanup(func() { must(t, letters.Close()) })
	p := &place{broker: mqtttest.InProcess(t), protocol: "5", id: "held"}
	srv, _ = p.server(t, mqttserver.WithBrokerOptions(mqttbroker.WithDeadLetters(letters), mqttbroker.WithSubscriberConfig(&v1.Subscriber{Subscriptions: map[string]*v1.Subscription{
		"/golden.plant.PlantEvents/Shown": {
			Exhausted: "park", ParkMaxAttempts: new(uint32(0)), Retry: &v1.Retry{MaxAttempts: 1, MinBackoff: durationpb.New(time.Minute), MaxBackoff: durationpb.New(time.Minute)},
		},
	}})))
	plant.RegisterPlantEventsMQTTServer(srv, &service{
		shown: func(context.Context, *plant.Reading) error { return errors.New("not now") },
	}, event.Only("Shown"))
	start(t, srv)
	_, raw := p.client(t)
	return srv, func(topic, key string) { sendJSON(t, raw, topic, `{}`, "partitionkey", key) }
}

// The names of held keys have a bounded length in memory, whatever keys the sender sets.
func TestNamesOfHeldKeysAreShort(t *testing.T) {
	srv, send := failing(t)
	const many, bound = 2000, 6 << 20
	before := heap()
	for i := range many {
		send("plant/shown/A", fmt.Sprint(i, strings.Repeat("x", 7000)))
	}
	eventually(t, "all parked", func() bool { return srv.Health().Parked == many })
	if grown := heap() - before; grown > bound {
		t.Errorf("%.1f MiB of heap for %d keys, want %d at most", float64(grown)/(1<<20), many, bound>>20)
	}
	if k := srv.Health().TopParkedKeys[0].Key; len(k) > 600 || !strings.Contains(k, "#plant/shown/A#") {
		t.Errorf("a key of %d bytes: %.100s", len(k), k)
	}
}

func heap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// A device with many held keys, each with a long queue, does not prevent the health from
// naming held keys of other devices.
func TestHeldKeysOfOthersAreNamed(t *testing.T) {
	t.Parallel()
	srv, send := failing(t)
	send("plant/shown/B", "1")
	for range 5 {
		for i := range 30 {
			send("plant/shown/A", fmt.Sprint(i))
		}
	}
	eventually(t, "all parked", func() bool { return srv.Health().Parked == 151 })
	var named []string
	for _, h := range srv.Health().TopParkedKeys {
		named = append(named, h.Key)
	}
	if text := strings.Join(named, " "); !strings.Contains(text, "plant/shown/B#1") || len(named) != 10 {
		t.Errorf("held are named %q", named)
	}
}
