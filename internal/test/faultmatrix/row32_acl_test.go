package faultmatrix_test

import (
	"errors"
	"strings"
	"testing"

	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
)

// Row 32: the broker's access rules forbid a publish. On MQTT 5 it is an error with the
// reason. On 3.1.1 Mosquitto acknowledges and drops it, which the self-test at the start
// reports. Allowed topics are not affected.
func TestFault_32_PublishDenied(t *testing.T) {
	t.Parallel()
	eachVersion(t, func(h *harness) {
		const messages = 200
		b := h.mosquitto(
			mqtttest.WithACL("user "+planted.user, "topic readwrite "+h.name+"/#", "topic deny "+h.name+"/denied"),
			mqtttest.WithConfig("max_queued_messages 100000")) // without a bound, Mosquitto 2.0.11 also ends the connection
		s := h.subscriber(b.URL(), "-sub", h.name+"/data")
		denied, allowed := h.name+"/denied", h.name+"/allowed"
		p := h.publisher(b.URL(), "-pub", mqttbroker.WithSelfTest(denied))
		good := h.publisher(b.URL(), "-good", mqttbroker.WithSelfTest(allowed))
		l := p.load(nil)
		for i := range messages {
			l.send(h.name+"/data", []byte(id(i)))
			if !h.five() || i%10 != 0 {
				continue
			}
			e := h.wantReason(p.publish(h.within(patience), denied, "x"), event.ReasonNotAuthorized)
			if e.Topic != denied || e.MayHaveBeenSent || e.Code() != 403 || !strings.Contains(e.Error(), "PUBACK 0x87") {
				h.Errorf("%+v: %v", e, e)
			}
		}
		l.succeeded()
		h.settled()
		h.eventually(func() error {
			if p.health().SelfTestError == nil {
				return errors.New("the self-test has told nothing")
			}
			return nil
		})
		if err := p.health().SelfTestError; !strings.Contains(err.Error(), denied) {
			h.Errorf("%v", err)
		}
		if n := h.said.logs("self-test"); n != 1 {
			h.Errorf("%d lines about self-tests, want that about %s", n, denied)
		}
		if err := good.health().SelfTestError; err != nil {
			h.Error(err)
		}
		if n := len(s.lost()) + len(p.lost()); n > 0 {
			h.Errorf("%d connections lost", n)
		}
	})
}
