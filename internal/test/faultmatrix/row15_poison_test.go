package faultmatrix_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/event/deadletter"
)

// Row 15: a handler always fails. After its attempts the message becomes a dead letter and is
// acknowledged: it is not delivered again. Other messages are handled.
func TestFault_15_AlwaysFails(t *testing.T) {
	t.Parallel()
	eachVersion(t, func(h *harness) {
		const messages, every, attempts = 200, 10, 3
		b := h.mosquitto()
		s := h.newSubscriber(b.URL(), "-sub", mqttbroker.WithServiceName(h.name))
		handler := func(_ context.Context, _, payload string) error {
			id := idOf([]byte(payload))
			if poison(id, every) {
				return errors.New("poison")
			}
			h.rec.Handled(id)
			return nil
		}
		s.subscribe(h.name+"/data/+", handler, quick(attempts)...)
		s.run()
		p := h.publisher(b.URL(), "-pub")
		l := p.load(nil)
		l.sendAll(h.name+"/data", 0, messages)
		l.succeeded()
		h.eventually(func() error { return atLeast("dead letters", len(s.told()), messages/every) })
		for _, i := range s.told() {
			if i.Attempt != attempts || i.Err == nil || !strings.HasPrefix(i.Destination, "dead-letter/"+h.name+"/") {
				h.Errorf("%+v", i)
			}
		}
		for _, l := range h.retainedLetters(s) {
			if id := idOf(l.Payload); !poison(id, every) || l.Attempts != attempts || l.Reason != "poison" {
				h.Errorf("%+v", l)
			}
			h.rec.Handled(idOf(l.Payload)) // visible to an operator
		}
		if rep := h.settled(); rep.Duplicates > 0 {
			h.Errorf("%d duplicates", rep.Duplicates)
		}
		// They were acknowledged: nothing is delivered again.
		if err := s.stop(patience); err != nil {
			h.Fatal(err)
		}
		before := s.attempts.Load()
		s.run()
		p.must(h.name+"/data/last", id(messages+1))
		h.settled()
		if n := s.attempts.Load() - before; n != 1 {
			h.Errorf("%d attempts after a restart", n)
		}
	})
}

func poison(id string, every int) bool {
	var n int
	_, _ = fmt.Sscanf(id, "id-%d", &n)
	return n%every == 0
}

// retainedLetters returns the dead letters that the broker retains.
func (h *harness) retainedLetters(s *subscriber) []*deadletter.Letter {
	h.Helper()
	store, err := s.s.DeadLetters()
	if h.said.err(err) != nil {
		h.Fatal(err)
	}
	return h.lettersIn(store, deadletter.Dead)
}
