package mqtttest_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
)

func TestInProcessUnderLoad(t *testing.T) {
	t.Parallel()
	const publishers, messages = 8, 250
	b := mqtttest.InProcess(t)
	sub := dial(t, b.URL(), "sub", persistent)
	sub.subscribe(t, "load/+", 2)
	var wg sync.WaitGroup
	for i := range publishers {
		pub := dial(t, b.URL(), fmt.Sprint("pub", i))
		wg.Go(func() {
			for n := range messages {
				if err := done(pub.Publish(fmt.Sprint("load/", i), byte(i%3), false, fmt.Sprint(n))); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	mqtttest.Eventually(t, patience, func() bool { return len(sub.received()) == publishers*messages })
	next := make(map[string]int)
	for _, m := range sub.received() {
		topic, n, _ := strings.Cut(m, " ")
		if n != fmt.Sprint(next[topic]) {
			t.Fatalf("%s: %s after %d", topic, n, next[topic]-1)
		}
		next[topic]++
	}
	if n := b.Dropped(); n != 0 {
		t.Errorf("%d messages dropped", n)
	}
}

func TestInProcessKillAndCut(t *testing.T) {
	t.Parallel()
	b := mqtttest.InProcess(t)
	dial(t, b.URL(), "keeper", persistent).subscribe(t, "a", 1)
	if done(dial(t, b.URL(), "pub").Publish("kept", 1, true, "x")) != nil || len(b.Retained()) != 1 {
		t.Errorf("retained %q", b.Retained())
	}
	if b.Cut("keeper") != 1 || b.Cut("nobody") != 0 {
		t.Error("cut the wrong one")
	}
	mqtttest.Eventually(t, patience, func() bool { return !b.Sessions()[0].Connected })
	for _, keep := range []bool{true, false} {
		b.Kill(keep)
		b.Start()
		dial(t, b.URL(), "pub").publish(t, "a", 1, "y")
		again := dial(t, b.URL(), "keeper", persistent)
		if keep {
			again.expect(t, "a y")
			again.Disconnect(10)
			continue
		}
		again.subscribe(t, "kept", 1)
		again.publish(t, "kept", 1, "end")
		again.expect(t, "kept end") // nothing queued, nothing retained
	}
}
