package remote_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/operator"
	"github.com/kratos-mqtt/kratos-mqtt/operator/remote"
)

// subscriptions has one with the name "data/+" that somebody can pause, and one with an open
// breaker.
type subscriptions struct {
	note  event.PauseNote
	state event.PauseState
	slow  bool // its handler ignores its context
}

func (s *subscriptions) steer(name string, state event.PauseState) error {
	if name != "data/+" {
		return &event.Error{Op: "pause", Topic: name, Reason: event.ReasonBadRequest}
	}
	if s.state = state; s.slow && state == event.PausedByHand {
		return &event.Error{Op: "pause", Topic: name, Reason: event.ReasonTimeout, Cause: context.DeadlineExceeded}
	}
	return nil
}

func (s *subscriptions) Pause(_ context.Context, name string, opts ...event.PauseOption) error {
	s.note = event.NewPauseNote(opts)
	return s.steer(name, event.PausedByHand)
}

func (s *subscriptions) Resume(_ context.Context, name string) error {
	s.note = event.PauseNote{}
	return s.steer(name, event.BreakerClosed)
}

func (s *subscriptions) Subscriptions() []event.SubscriptionPause {
	return []event.SubscriptionPause{
		{Name: "/a.B/C", State: event.BreakerOpen, Since: time.Unix(1, 0), Failures: 7, OpensAt: 5, LastError: "no database", NextTrial: time.Unix(6, 0), Waiting: 3},
		{Name: "data/+", State: s.state, By: s.note.By, Why: s.note.Why, AlsoWaiting: []string{"/a.B/C"}},
	}
}

// Subscriptions are listed with their states, paused and resumed by HTTP. Each change is one
// action of the audit.
func TestSubscriptions(t *testing.T) {
	t.Parallel()
	var actions []operator.Action
	fake := &subscriptions{state: event.BreakerClosed}
	s := remote.New(operator.New(operator.Options{Subscriptions: fake, Audit: func(a operator.Action) { actions = append(actions, a) }}), token)
	server := httptest.NewServer(s.Handler())
	t.Cleanup(server.Close)
	type subscription struct {
		Name, State, By, Why, Since string
		Failures, Waiting           int
		OpensAt                     int      `json:"opens_at"`
		LastError                   string   `json:"last_error"`
		NextTrial                   string   `json:"next_trial"`
		AlsoWaiting                 []string `json:"also_waiting"`
	}
	call := func(method, body string, want int) (list []subscription, problem string) {
		t.Helper()
		code, text := request(t, server.URL, method, body, nil)
		if code != want {
			t.Fatalf("%s: %d %s, want %d", method, code, text, want)
		}
		var reply struct {
			Subscriptions []subscription
			Error         string
		}
		if err := json.Unmarshal([]byte(text), &reply); err != nil {
			t.Fatal(err)
		}
		return reply.Subscriptions, reply.Error
	}
	list, _ := call("ListSubscriptions", `{}`, http.StatusOK)
	if len(list) != 2 || list[1].State != "SUBSCRIPTION_STATE_CLOSED" || list[1].Since != "" {
		t.Fatalf("%+v", list)
	}
	if b := list[0]; b.State != "SUBSCRIPTION_STATE_OPEN" || b.Failures != 7 || b.OpensAt != 5 || b.LastError != "no database" || b.NextTrial != "1970-01-01T00:00:06Z" || b.Waiting != 3 {
		t.Errorf("%+v", b)
	}
	list, problem := call("PauseSubscription", `{"name":"data/+","by":"ann","why":"migration"}`, http.StatusOK)
	if len(list) != 2 || list[1].State != "SUBSCRIPTION_STATE_PAUSED" || list[1].By != "ann" || list[1].Why != "migration" || problem != "" {
		t.Errorf("%+v %s", list, problem)
	}
	if list, _ = call("ResumeSubscription", `{"name":"data/+","by":"ann"}`, http.StatusOK); len(list) != 1 || list[0].Name != "/a.B/C" {
		t.Errorf("%+v", list)
	}
	call("PauseSubscription", `{"name":"unknown"}`, http.StatusBadRequest)
	fake.slow = true
	if list, problem = call("PauseSubscription", `{"name":"data/+"}`, http.StatusOK); len(list) != 2 || problem == "" {
		t.Errorf("a handler that still runs: %+v %q", list, problem)
	}
	if len(actions) != 4 || actions[0].Name != "pause" || actions[0].By != "ann" || actions[0].Why != "migration" || actions[1].Name != "resume" || actions[2].Err == nil || actions[3].Err == nil {
		t.Errorf("%+v", actions)
	}
}
