package mqtt_test

import (
	"fmt"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/tx7do/kratos-transport/broker"

	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
	testbroker "github.com/kratos-mqtt/kratos-mqtt/mqtttest/broker"
)

// A broker that acknowledges more slowly than the client waits for a full window is
// slow, not silent: on the next connection the client waits longer.
func TestBrokerThatIsSlowIsNotSilent(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("waits for half a minute")
	}
	slow := mqtttest.ScriptedBroker(t, func(c net.Conn) { answerSlowly(c, 11*time.Second) })
	spy := new(lossSpy)
	m, _ := logged(t, slow.URL(), mqttbroker.WithInFlight(4), mqttbroker.WithHooks(spy))
	if err := m.Connect(); err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			if err := m.Publish(within(t, 2*time.Minute), fmt.Sprintf("slow/%d", i), broker.NewMessage("x")); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if n := len(spy.all()); n != 1 {
		t.Errorf("%d connections were given up", n)
	}
}

// answerSlowly acknowledges each PUBLISH after a delay, many at the same time, and
// answers everything else immediately.
func answerSlowly(c net.Conn, after time.Duration) {
	var (
		mu    sync.Mutex
		later sync.WaitGroup
	)
	defer later.Wait()
	ended := make(chan struct{})
	defer close(ended)
	send := func(packet []byte) {
		mu.Lock()
		defer mu.Unlock()
		_, _ = c.Write(packet)
	}
	for {
		p, err := mqtttest.ReadPacket(c)
		if err != nil {
			return
		}
		switch p.Type() {
		case testbroker.Connect:
			send(mqtttest.ConnackPacket(4, false, 0))
		case testbroker.Pingreq:
			send([]byte{byte(testbroker.Pingresp) << 4, 0})
		case testbroker.Publish:
			later.Go(func() {
				select {
				case <-time.After(after):
					send(mqtttest.AckPacket(testbroker.Puback, p.ID()))
				case <-ended:
				}
			})
		}
	}
}
