package faultmatrix_test

import (
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
)

// A broker that ends the connection because its write is blocked must not be reported as
// a takeover by another client, or as a network failure.
func TestIntake_BrokerGivesUp(t *testing.T) {
	t.Parallel()
	eachVersion(t, func(h *harness) {
		const queue = 100
		var first sync.Once
		body := strings.Repeat("x", 64<<10)
		fake := h.polite(h.grant, func(_ int, c net.Conn) {
			first.Do(func() {
				go func() {
					_ = c.SetWriteDeadline(time.Now().Add(2 * time.Second))
					for i := range 10_000 {
						if _, err := c.Write(mqtttest.PublishPacket(h.level(), uint16(i+1), h.name+"/data/0", 1, body)); err != nil {
							_ = c.Close()
							return
						}
					}
				}()
			})
		})
		s, open := h.gated(fake.URL(), queue)
		s.run()
		h.eventually(func() error { return eachLost([]*spy{s.spy}) })
		if cause := s.lost()[0].info.Kind; cause != event.LossBackPressure {
			h.Errorf("cause %q: %v", cause, s.lost()[0].info.Err)
		}
		open()
		s.ready()
		if n := h.said.logs("another client uses this client id"); n > 0 {
			h.Errorf("taken %d times for a takeover", n)
		}
	})
}
