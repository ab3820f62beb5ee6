package operator_test

import (
	"context"
	"errors"
	"testing"

	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/operator"
	mqttserver "github.com/kratos-mqtt/kratos-mqtt/transport/mqtt"
)

var (
	_ operator.Subscriptions = (*mqttbroker.Broker)(nil)
	_ operator.Subscriptions = (*mqttserver.Server)(nil)
	_ operator.Outbox        = (*mqttbroker.Broker)(nil)
	_ operator.Outbox        = (*mqttserver.Server)(nil)
)

// subscriptions has one that can be paused.
type subscriptions struct {
	paused bool
	note   event.PauseNote
}

var errUnknown = errors.New("no such subscription")

func (s *subscriptions) steer(name string, paused bool) error {
	if name != "data/+" {
		return errUnknown
	}
	s.paused = paused
	return nil
}

func (s *subscriptions) Pause(_ context.Context, name string, opts ...event.PauseOption) error {
	s.note = event.NewPauseNote(opts)
	return s.steer(name, true)
}

func (s *subscriptions) Resume(_ context.Context, name string) error { return s.steer(name, false) }

func (s *subscriptions) Subscriptions() []event.SubscriptionPause {
	p := event.SubscriptionPause{Name: "data/+", State: event.BreakerClosed}
	if s.paused {
		p.State, p.By, p.Why = event.PausedByHand, s.note.By, s.note.Why
	}
	return []event.SubscriptionPause{p}
}

func TestPause(t *testing.T) {
	t.Parallel()
	var actions []operator.Action
	o := operator.New(operator.Options{Subscriptions: new(subscriptions), Audit: func(a operator.Action) { actions = append(actions, a) }})
	if err := o.Pause(t.Context(), "me\n", "data/+", "migration"); err != nil {
		t.Fatal(err)
	}
	if p, err := o.Subscriptions(); err != nil || len(p) != 1 || p[0].State != event.PausedByHand || p[0].By != "me" || p[0].Why != "migration" {
		t.Errorf("paused %+v, %v", p, err)
	}
	if err := o.Resume(t.Context(), "me", "data/+"); err != nil {
		t.Fatal(err)
	}
	if p, err := o.Subscriptions(); err != nil || len(p) != 1 || p[0].State != event.BreakerClosed || p[0].By != "" {
		t.Errorf("paused %+v, %v", p, err)
	}
	if err := o.Resume(t.Context(), "me", "other"); !errors.Is(err, errUnknown) {
		t.Errorf("got %v", err)
	}
	if len(actions) != 3 || actions[0].Name != "pause" || actions[0].By != "me" || actions[0].Subscription != "data/+" || actions[0].Why != "migration" || actions[1].Name != "resume" || !errors.Is(actions[2].Err, errUnknown) {
		t.Errorf("actions %+v", actions)
	}
	none := operator.New(operator.Options{})
	_, err := none.Subscriptions()
	for _, err := range []error{err, none.Pause(t.Context(), "me", "data/+", ""), none.Resume(t.Context(), "me", "data/+")} {
		if !errors.Is(err, operator.ErrUnavailable) {
			t.Errorf("got %v", err)
		}
	}
}
