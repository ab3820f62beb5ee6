package faultmatrix_test

import (
	"strings"
	"testing"
	"time"

	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest/broker"
)

// deepTopic returns a topic with more levels than Mosquitto accepts: it ends the connection.
func (h *harness) deepTopic() string { return h.name + strings.Repeat("/x", 205) }

// convictionTime bounds the search for the message that ends connections.
const convictionTime = time.Second

// mostEnds bounds the connections that one search may cost on an idle network: the first
// one, six resets that find the message, and one more for a busy machine.
const mostEnds = 8

// Row 47: the broker answers a publish by ending the connection. That publish fails within a
// second with a reason, and the end is not taken for a takeover.
func TestFault_47_PublishEndsConnection(t *testing.T) {
	t.Parallel()
	eachVersion(t, func(h *harness) {
		b := h.mosquitto()
		s := h.newSubscriber(b.URL(), "-sub")
		f := h.newFlow(s)
		s.run()
		p := h.publisher(b.URL(), "-pub", mqttbroker.WithConnectRetryInterval(200*time.Millisecond), mqttbroker.WithMaxReconnectInterval(30*time.Second))
		f.unharmed(p, func() {
			began := time.Now()
			err := p.publish(h.within(patience), h.deepTopic(), id(1))
			took := time.Since(began)
			e := h.wantReason(err, event.ReasonRefused, event.ReasonBadTopic)
			h.figure("a publish that ends the connection is refused after", took.Round(time.Millisecond))
			if took > convictionTime+slack {
				h.Errorf("refused after %v: %v", took, e)
			}
		})
		h.noTakeover()
	})
}

// The scripted broker ends a connection in order or abruptly, and on MQTT 5 with a reason,
// while many valid messages are in flight beside the forbidden one.
//
// It measures a time, so that it does not run beside the other rows.
func TestFault_47_PublishEndsConnectionAmongOthers(t *testing.T) {
	eachVersion(t, func(h *harness) {
		b := mqtttest.InProcess(h)
		bad := h.name + "/bad"
		b.Inject(broker.Fault{Direction: broker.ToBroker, Type: broker.Publish, Filter: broker.Topic(bad), Do: broker.CutBefore()})
		s := h.newSubscriber(b.URL(), "-sub")
		s.record(h.name + "/data/+")
		s.run()
		p := h.publisher(b.URL(), "-pub", mqttbroker.WithConnectRetryInterval(200*time.Millisecond), mqttbroker.WithMaxReconnectInterval(30*time.Second))
		began := time.Now()
		l := p.load(nil)
		l.sendAll(h.name+"/data", 0, 50)
		outcome := make(chan error, 1)
		if err := p.send(h.within(patience), bad, []byte(id(1000)), func(err error) { outcome <- err }); err != nil {
			h.Fatal(err)
		}
		l.sendAll(h.name+"/data", 50, 50)
		err := <-outcome
		took := time.Since(began)
		h.wantReason(err, event.ReasonRefused)
		l.succeeded()
		h.settled()
		h.figure("among a hundred others it is refused after", took.Round(time.Millisecond))
		if took > convictionTime {
			h.Errorf("refused after %v", took)
		}
		h.noTakeover()
	})
}

// Row 48: the same message in an outbox. It is quarantined with its reason, and does not end
// the connection again and again.
func TestFault_48_PoisonInOutbox(t *testing.T) {
	t.Parallel()
	eachVersion(t, func(h *harness) {
		b := mqtttest.InProcess(h)
		bad := h.name + "/bad"
		cuts := b.Inject(broker.Fault{Direction: broker.ToBroker, Type: broker.Publish, Filter: broker.Topic(bad), Do: broker.CutBefore()})
		s := h.newSubscriber(b.URL(), "-sub")
		f := h.newFlow(s)
		s.run()
		store := h.memoryOutbox()
		p := h.publisher(b.URL(), "-pub", mqttbroker.WithOutbox(store), mqttbroker.WithConnectRetryInterval(200*time.Millisecond), mqttbroker.WithMaxReconnectInterval(30*time.Second))
		f.unharmed(p, func() {
			if err := p.publish(h.within(patience), bad, id(1)); err != nil {
				h.Error(err)
			}
		})
		h.eventually(func() error { return atLeast("quarantined", p.health().Outbox.Quarantined, 1) })
		if n := cuts.Applied(); n > mostEnds*int64(f.rounds) {
			h.Errorf("%d connections ended for one message", n)
		}
		p.emptied()
		h.noTakeover()
	})
}

// noTakeover checks that no takeover by another client was reported.
func (h *harness) noTakeover() {
	h.Helper()
	if n := h.said.logs("another client"); n > 0 {
		h.Errorf("taken %d times for a takeover", n)
	}
}
