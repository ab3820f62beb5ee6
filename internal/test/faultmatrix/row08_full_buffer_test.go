package faultmatrix_test

import (
	"testing"
	"time"

	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
)

// Row 8: the network fails without a FIN under 26 MiB of messages, so that a write blocks.
// The client notices it within the write timeout plus a second, whatever the keep-alive, and
// every message arrives afterwards.
func TestFault_08_HalfOpenFullBuffer(t *testing.T) {
	t.Parallel()
	eachVersion(t, func(h *harness) {
		const (
			writeTimeout = 2 * time.Second
			messages     = 130
			size         = 200 << 10
		)
		b := h.mosquitto(mqtttest.WithMaxInflight(messages))
		proxy := mqtttest.NewProxy(h, b.URL())
		h.subscriber(b.URL(), "-sub", h.name+"/data")
		p := h.publisher(proxy.URL(), "-pub", mqttbroker.WithWriteTimeout(writeTimeout))
		p.must(h.name+"/data", id(messages))
		l := p.load(nil)
		proxy.Stall(true)
		began := time.Now()
		sent := make(chan struct{})
		go func() { // publishes after the loss wait for the next connection
			defer close(sent)
			for i := range messages {
				l.send(h.name+"/data", append(make([]byte, size), id(i)...))
			}
		}()
		h.eventually(func() error { return eachLost([]*spy{p.spy}) })
		detected := p.lost()[0].at.Sub(began)
		h.figure("half-open detection, full send buffer, write timeout 2s", detected.Round(time.Millisecond))
		if detected > writeTimeout+time.Second+slack {
			h.Errorf("detected after %v", detected)
		}
		proxy.Stall(false)
		<-sent
		l.succeeded()
		h.settled()
	})
}
