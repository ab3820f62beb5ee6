package faultmatrix_test

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
)

// Row 43: publisher and subscriber are cut repeatedly. The first deliveries of the messages
// of one topic arrive in the order in which they were published [MQTT-4.6.0-1]; repetitions
// may follow later ones.
func TestFault_43_OrderAfterResume(t *testing.T) {
	t.Parallel()
	eachVersion(t, func(h *harness) {
		const rounds, perRound, keys = 25, 120, 8
		b := h.mosquitto()
		pubProxy, subProxy := mqtttest.NewProxy(h, b.URL()), mqtttest.NewProxy(h, b.URL())
		o := order{seen: make(map[string]bool), last: make(map[string]string)}
		s := h.newSubscriber(subProxy.URL(), "-sub")
		s.subscribe(h.name+"/data/+", func(_ context.Context, topic, payload string) error {
			o.note(topic, payload)
			h.rec.Handled(payload)
			return nil
		})
		s.run()
		p := h.publisher(pubProxy.URL(), "-pub")
		l := p.load(nil)
		for i := range rounds {
			cutSomewhere(pubProxy, perRound)
			if i%2 == 0 {
				subProxy.CutAfter(mqtttest.ToClient, mqtttest.TypePublish, 1+perRound/2)
			} else {
				subProxy.CutBefore(mqtttest.ToBroker, mqtttest.TypePuback, 1+perRound/3)
			}
			l.sendAll(h.name+"/data", i*perRound, perRound)
		}
		l.succeeded()
		h.settled()
		o.mu.Lock()
		defer o.mu.Unlock()
		if len(o.wrong) > 0 {
			h.Errorf("%d messages came for the first time after a later one of their topic, first %s", len(o.wrong), o.wrong[0])
		}
		if len(p.lost()) < 5 || len(s.lost()) < 5 {
			h.Errorf("only %d and %d connections were lost", len(p.lost()), len(s.lost()))
		}
		h.Logf("%d and %d connections lost, %d keys", len(p.lost()), len(s.lost()), keys)
	})
}

// order checks the order of the first deliveries of each topic.
type order struct {
	mu    sync.Mutex
	seen  map[string]bool
	last  map[string]string // highest id of each topic
	wrong []string
}

func (o *order) note(topic, id string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.seen[id] {
		return
	}
	o.seen[id] = true
	if last := o.last[topic]; id < last {
		o.wrong = append(o.wrong, fmt.Sprintf("%s after %s on %s", id, last, topic))
		return
	}
	o.last[topic] = id
}
