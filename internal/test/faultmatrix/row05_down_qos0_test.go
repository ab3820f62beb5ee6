package faultmatrix_test

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
)

// Row 5: a publish at QoS 0 while the broker is down is an error, never nil:
// before the first connection, and after a loss.
func TestFault_05_QoS0WhileDown(t *testing.T) {
	t.Parallel()
	eachVersion(t, func(h *harness) {
		const messages = 500
		b := h.mosquitto()
		proxy := mqtttest.NewProxy(h, b.URL())
		h.subscriber(b.URL(), "-sub", h.name+"/data")
		proxy.Refuse(true)
		p := h.publisher(proxy.URL(), "-pub")
		down := func(first int) {
			var nils atomic.Int64
			var wg sync.WaitGroup
			ctx := h.within(300 * time.Millisecond)
			for i := range messages {
				wg.Go(func() {
					h.rec.Attempted(id(first + i))
					err := p.publish(ctx, h.name+"/data", id(first+i), event.QoS(0))
					if err == nil {
						nils.Add(1)
						h.rec.Accepted(id(first + i))
						return
					}
					e, ok := err.(*event.Error)
					if !ok || e.Reason != event.ReasonNotConnected || e.MayHaveBeenSent {
						h.Errorf("%v", err)
					}
				})
			}
			wg.Wait()
			if nils.Load() > 0 {
				h.Errorf("%d of %d returned nil", nils.Load(), messages)
			}
		}
		down(0)
		proxy.Refuse(false)
		h.eventually(func() error { return atLeast("connections", len(p.connected()), 1) })
		proxy.Refuse(true)
		proxy.Cut()
		h.eventually(func() error { return atLeast("losses", len(p.lost()), 1) })
		down(messages)
		if e := p.health(); e.Connected || e.LastError == nil {
			h.Errorf("health %+v", e)
		}
		if n := int(p.unsent.Load()); n != 2*messages {
			h.Errorf("hooks were told of %d failed publishes, want %d", n, 2*messages)
		}
		proxy.Refuse(false)
		h.eventually(func() error { return atLeast("connections", len(p.connected()), 2) })
		p.must(h.name+"/data", ids(2*messages, 10)...)
		if rep := h.settled(); len(rep.Recovered) > 0 {
			h.Errorf("%d messages whose publish failed arrived", len(rep.Recovered))
		}
	})
}
