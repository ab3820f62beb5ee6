package faultmatrix_test

import (
	"context"
	"testing"

	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/event/deadletter"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
)

// damaged is a store with one dead letter that has lost its topic.
type damaged struct {
	*deadletter.Memory
	id string
}

func (d *damaged) List(ctx context.Context, q deadletter.Query) ([]*deadletter.Letter, error) {
	list, err := d.Memory.List(ctx, q)
	for _, l := range list {
		d.damage(l)
	}
	return list, err
}

func (d *damaged) Get(ctx context.Context, id string) (*deadletter.Letter, error) {
	l, err := d.Memory.Get(ctx, id)
	if err == nil {
		d.damage(l)
	}
	return l, err
}

func (d *damaged) damage(l *deadletter.Letter) {
	if l.ID == d.id {
		l.Topic = ""
	}
}

// Row 63: one of many dead letters is damaged. A replay of all of them publishes the others
// and reports the damaged one.
func TestFault_63_DamagedLetter(t *testing.T) {
	t.Parallel()
	eachVersion(t, func(h *harness) {
		const letters = 20
		b := mqtttest.InProcess(h)
		store := &damaged{Memory: deadletter.NewMemory(0)}
		s := h.newSubscriber(b.URL(), "-sub", mqttbroker.WithDeadLetters(store))
		s.subscribe(h.name+"/data", failing, append(quick(1), mqttbroker.WithSubscribeExhausted(event.ExhaustedDeadLetter))...)
		s.run()
		p := h.publisher(b.URL(), "-pub")
		l := p.load(nil)
		for i := range letters {
			l.send(h.name+"/data", []byte(id(i)))
		}
		l.succeeded()
		h.eventually(func() error { return atLeast("letters", len(h.lettersIn(store, deadletter.Dead)), letters) })
		if err := s.stop(patience); err != nil {
			h.Fatal(err)
		}
		store.id = h.lettersIn(store, deadletter.Dead)[letters/2].ID
		again := h.newSubscriber(b.URL(), "-again", mqttbroker.WithDeadLetters(store))
		again.record(h.name + "/data")
		again.run()
		n, err := again.s.Replay(h.within(patience))
		if n != letters-1 || h.said.err(err) == nil {
			h.Errorf("%d of %d letters were replayed, error %v", n, letters, err)
		}
		h.eventually(func() error { return atLeast("handled", h.rec.Report().Handled, letters-1) })
		if left := h.lettersIn(store, deadletter.Dead); len(left) != 1 || left[0].ID != store.id {
			h.Errorf("%d letters are left", len(left))
		}
	})
}
