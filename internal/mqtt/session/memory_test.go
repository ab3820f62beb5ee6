package session

import (
	"fmt"
	"runtime"
	"testing"

	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
)

// TestIdleConnectionIsSmall is not parallel, because it measures the memory of
// the process.
func TestIdleConnectionIsSmall(t *testing.T) {
	const sessions, most = 50, 96 << 10
	if raceEnabled {
		t.Skip("the race detector's own memory would be counted")
	}
	broker := mqtttest.Mosquitto(t)
	for _, p := range []Protocol{Version31, Version5} {
		idle(t, broker.URL(), p, sessions) // allocates what is shared by all
		each := idle(t, broker.URL(), p, sessions)
		t.Logf("protocol level %d: %d bytes for each idle connection, heap and stack", p, each)
		if each > most {
			t.Errorf("protocol level %d: %d bytes for each idle connection, want at most %d", p, each, most)
		}
	}
}

// idle returns the memory per connection, for n connections with one
// subscription each.
func idle(t *testing.T, url string, p Protocol, n int) int {
	before := inUse()
	all := make([]*Session, n)
	for i := range all {
		all[i] = open(t, url, clientID(fmt.Sprint("idle-", i)), speaking(p))
		want(t, all[i], fmt.Sprint("idle/", i))
		all[i].Start()
	}
	for _, s := range all {
		ready(t, s)
	}
	each := (inUse() - before) / n
	for _, s := range all {
		s.Close(within(t, patience))
	}
	return each
}

func inUse() int {
	var m runtime.MemStats
	for range 3 { // stacks shrink with each collection
		runtime.GC()
	}
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc + m.StackInuse)
}
