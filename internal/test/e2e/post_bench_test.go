package e2e

import (
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
)

// BenchmarkPost compares how long it takes until a report is accepted: with the file
// outbox, which needs an fsync, and without, which needs a round trip to Mosquitto.
// Both collectors run and take turns.
func BenchmarkPost(b *testing.B) {
	for _, posters := range []int{1, 16} {
		b.Run(map[int]string{1: "1 at a time", 16: "16 at a time"}[posters], func(b *testing.B) {
			broker := mqtttest.Mosquitto(b)
			loads := make(map[string]*load)
			for _, driver := range []string{"file", "none"} {
				config := changed(b, "collector.yaml", "driver: file", "driver: "+driver)
				s := start(b, config, "KM_MQTT_BROKER="+broker.URL(), "KM_MQTT_CLIENT_ID=collector-"+driver)
				loads[driver] = newLoad(b, s.base)
			}
			const turn = 160
			for b.Loop() {
				for driver, l := range loads {
					if failed := l.turn(b, posters, turn); failed > 0 {
						b.Fatalf("%s: %d failed: %v", driver, failed, l.lastErr)
					}
				}
			}
			for driver, l := range loads {
				slices.Sort(l.took)
				at := func(share float64) float64 {
					return float64(l.took[int(share*float64(len(l.took)-1))]) / float64(time.Millisecond)
				}
				b.ReportMetric(at(0.5), driver+"-p50-ms")
				b.ReportMetric(at(0.99), driver+"-p99-ms")
			}
		})
	}
}

// turn posts n reports from several goroutines.
func (l *load) turn(b *testing.B, posters, n int) (failed int) {
	b.Helper()
	var wg sync.WaitGroup
	for range posters {
		wg.Go(func() {
			for range n / posters {
				_ = l.postOne(b.Context()) // it counts
			}
		})
	}
	wg.Wait()
	_, failed = l.count()
	return failed
}
