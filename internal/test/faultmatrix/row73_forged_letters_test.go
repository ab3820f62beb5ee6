package faultmatrix_test

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/event/deadletter"
	"github.com/kratos-mqtt/kratos-mqtt/event/message"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
)

// Row 73: access rules let one device write where the service retains its dead letters. Its
// forgeries are published nowhere, and do not prevent the service's dead letters from being
// replayed or dropped.
func TestFault_73_ForgedLetters(t *testing.T) {
	t.Parallel()
	eachVersion(t, func(h *harness) {
		const service, forbidden = "valves", "valves/7/open"
		n := h.newNeighbours(mqtttest.WithACL("user "+rogue, "topic write dead-letter/#"),
			mqtttest.WithUser("valve", "valve"), mqtttest.WithACL("user valve", "topic read valves/#"))
		s := h.newSubscriber(n.broker.URL(), "", mqttbroker.WithServiceName(service), mqttbroker.WithRetainedDeadLetters())
		var repaired atomic.Bool
		var again atomic.Int64
		mine := "devices/" + deviceName(0) + "/refused"
		s.subscribe("devices/+/refused", func(context.Context, string, string) error {
			if !repaired.Load() {
				return event.Permanent(errors.New("not today"))
			}
			again.Add(1)
			return nil
		})
		s.subscribe("devices/+/data", func(_ context.Context, topic, payload string) error {
			if topic != "devices/"+rogue+"/data" {
				n.handled(idOf([]byte(payload)))
			}
			return nil
		})
		s.run()
		n.join()
		var opened atomic.Int64
		n.device("valve", nil).subscribe("valves/#", func(arrival) { opened.Add(1) })
		n.devices[0].publish(wire{topic: mine, id: id(hostile - 1), payload: []byte("honest")})
		h.rec.Attempted(id(hostile - 1))
		h.eventually(func() error { return atLeast("letters", len(s.told()), 1) })
		h.rec.Dead(id(hostile - 1))
		honestID := s.told()[0].ID

		var told int
		var replayErr error
		n.unharmed(s, func(int) func() {
			f := forger{n.rogue, "dead-letter/" + service + "/", service, forbidden}
			f.letter(newID(), "", "")               // on a topic that the service does not subscribe to
			f.letter(newID(), "", "another")        // a dead letter of another service
			f.letter(newID(), honestID, "")         // with the id of an honest device's dead letter
			f.letter(newID(), "0/#", "")            // with an id that is a filter
			f.letter(newID(), "../../"+service, "") // with an invalid id
			f.raw(newID(), []byte("no letter"))     // that cannot be decoded
			h.rec.Dead(id(hostile - 1))
			for begin := time.Now(); n.rogue.acknowledged() < 6 && time.Since(begin) < beside; {
				pause(time.Millisecond)
			}
			repaired.Store(true)
			for range 3 {
				k, err := s.s.Replay(h.within(patience))
				told += k
				if err != nil {
					replayErr = h.said.err(err)
				}
			}
			return nil
		})
		n.soon(func() bool { return again.Load() > 0 })
		h.figure("forged letters that were published", opened.Load())
		if got := opened.Load(); got > 0 {
			h.Errorf("%d forged letters were published on %q", got, forbidden)
		}
		if replayErr == nil {
			h.Error("no replay told of the forged letters")
		}
		if got := again.Load(); got != 1 {
			h.Errorf("the honest letter was handled %d times, replays told of %d", got, told)
		}
		h.dropsAll(s, honestID)
	})
}

func newID() string { return uuid.Must(uuid.NewV7()).String() }

// forger writes dead letters that the service did not write.
type forger struct {
	*device
	prefix, service, topic string
}

// letter writes a dead letter below an id. claimed and service replace the id and the service
// in its content, if set.
func (f forger) letter(at, claimed, service string) {
	l := &deadletter.Letter{
		ID: at, State: deadletter.Dead, Service: f.service, Filter: "devices/+/refused", Reason: "forged",
		Attempts: 1, Received: time.Now(), Time: time.Now(),
	}
	l.Message = message.Message{Topic: f.topic, Payload: []byte("open"), QoS: 1}
	if claimed != "" {
		l.ID = claimed
	}
	if service != "" {
		l.Service = service
	}
	m, err := deadletter.Encode(l, f.h.five())
	if err != nil {
		f.h.Error(err)
		return
	}
	w := wire{topic: f.at(at), retain: true, contentType: m.ContentType, payload: m.Payload}
	if f.h.five() {
		for _, header := range m.Headers {
			w.headers = append(w.headers, [2]string{header.Key, header.Value})
		}
	}
	f.publish(w)
}

func (f forger) raw(at string, payload []byte) {
	f.publish(wire{topic: f.at(at), retain: true, payload: payload})
}

// at returns the topic on which the dead letter with an id is retained.
func (f forger) at(id string) string { return f.prefix + id[len(id)-2:] + "/" + id }

// dropsAll checks that every dead letter that is listed can be dropped.
func (h *harness) dropsAll(s *subscriber, honestID string) {
	h.Helper()
	store, err := s.s.DeadLetters()
	if err != nil {
		h.Fatal(err)
	}
	list := h.lettersIn(store, deadletter.Dead)
	if slices.ContainsFunc(list, func(l *deadletter.Letter) bool { return l.ID == honestID && string(l.Payload) == "open" }) {
		h.Error("a forged letter has taken the place of an honest one")
	}
	h.eventually(func() error {
		if _, err := deadletter.Delete(h.within(patience), store); err != nil {
			return err
		}
		if left := h.lettersIn(store, deadletter.Dead); len(left) > 0 {
			return errors.New("letters are left that nobody can drop: first " + left[0].ID)
		}
		return nil
	})
}
