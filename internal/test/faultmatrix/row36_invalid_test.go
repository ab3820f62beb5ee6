package faultmatrix_test

import (
	"strings"
	"testing"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
)

// Row 36: a publish that breaks a rule is refused before any of it is sent, because ending
// the connection would affect other messages. Valid messages before and after it arrive on
// the same connection.
func TestFault_36_InvalidPublish(t *testing.T) {
	t.Parallel()
	eachVersion(t, func(h *harness) {
		const rounds, perRound, limit = 20, 50, 20_000
		b := h.mosquitto(mqtttest.WithConfig("max_packet_size 20000"))
		proxy := mqtttest.NewProxy(h, b.URL())
		w := watch(proxy)
		h.subscriber(b.URL(), "-sub", h.name+"/data/+")
		p := h.publisher(proxy.URL(), "-pub")
		p.must(h.name+"/data/0", id(0))
		bad := []struct {
			topic   string
			payload string
			qos     byte
			reason  event.Reason
		}{
			{"", "x", 1, event.ReasonBadTopic},
			{"a/+/b", "x", 1, event.ReasonBadTopic},
			{"a/#", "x", 1, event.ReasonBadTopic},
			{"a\x00b", "x", 1, event.ReasonBadTopic},
			{"a\xff", "x", 1, event.ReasonBadTopic},
			{"a\xed\xa0\x80", "x", 1, event.ReasonBadTopic}, // a surrogate
			{strings.Repeat("t", 65_536), "x", 1, event.ReasonBadTopic},
			{"a", "x", 3, event.ReasonBadRequest},
			{"a", strings.Repeat("x", 256<<10+1), 1, event.ReasonTooLarge},
		}
		if h.five() { // the broker reports it
			bad = append(bad, struct {
				topic   string
				payload string
				qos     byte
				reason  event.Reason
			}{"a", strings.Repeat("x", limit+1), 1, event.ReasonTooLarge})
		}
		l := p.load(w)
		for i := range rounds {
			l.sendAll(h.name+"/data", 1+i*perRound, perRound)
			for _, tc := range bad {
				err := p.publish(h.within(patience), tc.topic, tc.payload, event.QoS(tc.qos))
				if e := h.wantReason(err, tc.reason); e.MayHaveBeenSent || e.Code()/100 != 4 || len(err.Error()) > 1000 {
					h.Errorf("topic of %d bytes: code %d, may have been sent %t, text of %d bytes", len(tc.topic), e.Code(), e.MayHaveBeenSent, len(err.Error()))
				}
			}
		}
		l.succeeded()
		h.settled()
		if n, _ := w.packets(); n != 1+rounds*perRound {
			h.Errorf("%d PUBLISH packets on the wire, want those of %d good messages", n, 1+rounds*perRound)
		}
		want := 1
		if !h.five() { // the first one ends an earlier session
			want = 2
		}
		if n := proxy.Counts().Connections; n != want {
			h.Errorf("%d connections, want %d", n, want)
		}
	})
}
