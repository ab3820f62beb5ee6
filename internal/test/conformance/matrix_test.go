package conformance

import (
	"bytes"
	"fmt"
	"testing"

	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/event"
)

// TestMatrix sends small and large messages through every broker, version and QoS. All
// arrive once and in order, at the QoS that was granted.
func TestMatrix(t *testing.T) {
	t.Parallel()
	const messages, large = 300, 200 << 10
	bodies := numbered(messages)
	for i := 9; i < messages; i += 10 {
		bodies[i] = append(bodies[i], bytes.Repeat([]byte{byte(i)}, large-len(bodies[i]))...)
	}
	eachCell(t, func(t *testing.T, c cell) {
		for qos := range byte(3) {
			t.Run(fmt.Sprint("QoS", qos), func(t *testing.T) {
				var s seen
				srv := server(t, c.broker.URL(), c.version)
				register(t, srv, name(t), s.handle, mqttbroker.WithSubscribeQos(c.granted(qos)))
				run(t, srv)
				p := publisher(t, c.broker.URL(), c.version)
				publishAll(t, p, name(t), bodies, event.QoS(qos), event.Header("k", "v"))
				for i, m := range s.wait(t, messages) {
					if !bytes.Equal(m.body, bodies[i]) {
						t.Fatalf("message %d is %.10q of %d bytes", i, m.body, len(m.body))
					}
					if m.qos != c.granted(qos) || m.retained || m.topic != name(t) {
						t.Fatalf("message %d: QoS %d, want %d; retained %t, topic %q", i, m.qos, c.granted(qos), m.retained, m.topic)
					}
					if want := map[bool]string{true: "v"}[c.five()]; m.header != want {
						t.Fatalf("message %d: header %q, want %q", i, m.header, want)
					}
				}
				stop(t, srv) // what it still had to handle, it has handled
				if n := len(s.all()); n != messages {
					t.Fatalf("%d messages", n)
				}
			})
		}
	})
}
