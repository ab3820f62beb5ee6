package session

import (
	"errors"
	"testing"

	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/link"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/wire"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
)

// D5: "packet identifier in use" and "not found" as answers to a resend show
// that the first copy had arrived. As answers to a first copy they are
// failures.
func TestD05_AnswersToAResend(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		cut  bool
		want bool // success
	}{
		"resent":     {cut: true, want: true},
		"first copy": {cut: false, want: false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := direct(t, windowOf(4), speaking(Version5))
			connect := func() *conn {
				c := newConn(s, wire.V5, 0)
				c.link = link.New(newTape(), c, link.Options{Version: wire.V5})
				if err := c.Connack(0x20, []byte{1, 0, 0}); err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { _ = c.link.Close(); <-c.link.Done() })
				return c
			}
			c := connect()
			outcome := make(chan error, 1)
			if err := publishAsync(t.Context(), s, &Message{Topic: "t", QoS: 2}, func(err error) { outcome <- err }); err != nil {
				t.Fatal(err)
			}
			id := ids(s)[0]
			if tc.cut {
				cut(c)
				c = connect()
			}
			answer := func(p mqtttest.PacketType, reason byte) {
				feed(t, c, mqtttest.PacketOf(byte(p)<<4, mqtttest.Uint16Field(id), []byte{reason}))
			}
			answer(mqtttest.TypePubrec, codeInUse)
			if tc.want {
				answer(mqtttest.TypePubcomp, codeNotFound)
			}
			err := <-outcome
			var code *CodeError
			if tc.want && err != nil {
				t.Errorf("a resend that had arrived ends with %v", err)
			}
			if !tc.want && (!errors.As(err, &code) || code.Code != codeInUse) {
				t.Errorf("a refused first copy ends with %v", err)
			}
		})
	}
}
