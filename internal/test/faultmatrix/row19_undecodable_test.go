package faultmatrix_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"testing"

	"github.com/tx7do/kratos-transport/broker"
	"google.golang.org/protobuf/types/known/structpb"

	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/event/deadletter"
	mqttserver "github.com/kratos-mqtt/kratos-mqtt/transport/mqtt"
)

// Row 19: payloads that cannot be decoded, at any QoS. Each becomes a dead letter at once,
// byte for byte, and no handler runs.
func TestFault_19_Undecodable(t *testing.T) {
	t.Parallel()
	for qos := range byte(3) {
		t.Run(fmt.Sprintf("QoS %d", qos), func(t *testing.T) {
			t.Parallel()
			eachVersion(t, func(h *harness) {
				const messages = 30
				b := h.mosquitto()
				store := deadletter.NewMemory(0)
				s := h.newSubscriber(b.URL(), "-sub", mqttbroker.WithDeadLetters(store))
				for _, codec := range []string{"proto", "json"} {
					err := mqttserver.RegisterSubscriber(s.s, h.Context(), h.name+"/"+codec,
						func(context.Context, string, broker.Headers, *structpb.Struct) error {
							h.Error("the handler ran")
							return nil
						}, mqttbroker.WithSubscribeCodec(codec), mqttbroker.WithSubscribeQos(qos))
					if h.said.err(err) != nil {
						h.Fatal(err)
					}
				}
				s.run()
				p := h.publisher(b.URL(), "-pub")
				sent := make(map[string]bool)
				l := p.load(nil)
				for i := range messages {
					// 0xFF begins neither field 1 of a Struct nor JSON.
					payload := append([]byte{0xFF, 0xFF}, make([]byte, i)...)
					_, _ = rand.Read(payload[2:])
					payload = append(payload, id(i)...)
					sent[string(payload)] = true
					l.send(h.name+"/"+[]string{"proto", "json"}[i%2], payload, event.QoS(qos))
				}
				l.succeeded()
				h.eventually(func() error { return atLeast("dead letters", len(s.told()), messages) })
				for _, l := range h.lettersIn(store, deadletter.Dead) {
					if !sent[string(l.Payload)] || l.Attempts != 1 || l.QoS != qos {
						h.Errorf("%+v", l)
					}
					h.rec.Handled(idOf(l.Payload))
				}
				if rep := h.settled(); rep.Duplicates > 0 {
					h.Errorf("%d duplicates", rep.Duplicates)
				}
				if n := s.attempts.Load(); n != messages {
					h.Errorf("%d attempts", n)
				}
			})
		})
	}
}
