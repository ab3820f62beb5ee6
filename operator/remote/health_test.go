package remote_test

import (
	"errors"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	operatorv1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/operator/v1"
	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/observe"
	"github.com/kratos-mqtt/kratos-mqtt/operator"
	"github.com/kratos-mqtt/kratos-mqtt/operator/remote"
)

// subscriber is a client with a filter that the broker granted, and one of a session of its own
// that it refused.
type subscriber struct{ ends time.Time }

func (s subscriber) Health() event.Health {
	return event.Health{
		Instance: "1", Connected: true, Filters: 2, Granted: 1, LastError: errors.New("no \xff"), HasOutbox: true, Outbox: event.OutboxHealth{Depth: 3, Age: time.Second},
		BrokerCertificateEnds: s.ends.Add(time.Hour), ClientCertificateEnds: s.ends,
		Sessions: []event.SessionHealth{{ClientID: "app", Connected: true, Ready: true}, {ClientID: "app-slow", Name: "slow", Filters: 1, LastError: errors.New("refused")}},
	}
}

func (subscriber) Filters() []event.FilterHealth {
	return []event.FilterHealth{
		{Filter: "a/+", Granted: true, AskedQoS: 1, GrantedQoS: 1},
		{Filter: "b/+", Session: "slow", AskedQoS: 2, Err: errors.New("refused")},
	}
}

// The health is that of the probe, by HTTP, with each client's filters, own sessions and reasons.
func TestGetHealth(t *testing.T) {
	t.Parallel()
	ends := time.Now().Add(2 * 365 * 24 * time.Hour)
	o := operator.New(operator.Options{Probe: observe.NewProbe(observe.Limits{}, subscriber{ends})})
	health, err := served(t, remote.New(o, token).Handler(), "", token).GetHealth(t.Context(), &operatorv1.GetHealthRequest{})
	if err != nil || health.GetStatus() != "not ready" || len(health.GetClients()) != 1 {
		t.Fatalf("%v, %v", health, err)
	}
	c := health.GetClients()[0]
	if c.GetClientId() != "app" || !c.GetConnected() || c.GetReady() || c.GetLastError() != "no \ufffd" || !c.GetCertificateEnds().AsTime().Equal(ends) {
		t.Errorf("%v", c)
	}
	if list := c.GetFindings(); len(list) != 1 || list[0].GetReason() != "FILTERS_NOT_GRANTED" || health.GetFindings()[0].GetText() != list[0].GetText() {
		t.Errorf("%v", list)
	}
	if f := c.GetFilters(); len(f) != 2 || !f[0].GetGranted() || f[0].GetGrantedQos() != 1 || f[1].GetSession() != "slow" || f[1].GetAskedQos() != 2 || f[1].GetGranted() || f[1].GetError() != "refused" {
		t.Errorf("%v", f)
	}
	if s := c.GetSessions(); len(s) != 2 || s[1].GetName() != "slow" || s[1].GetConnected() || s[1].GetLastError() != "refused" {
		t.Errorf("%v", s)
	}
	if b := c.GetOutbox(); b.GetDepth() != 3 || b.GetAge().AsDuration() != time.Second {
		t.Errorf("%v", b)
	}
	none, _ := newServer(t, 0, token)
	if _, err = served(t, none.Handler(), "", token).GetHealth(t.Context(), &operatorv1.GetHealthRequest{}); status.Code(err) != codes.Unimplemented {
		t.Errorf("no probe: %v", err)
	}
	if _, err = served(t, none.Handler(), "", "").GetHealth(t.Context(), &operatorv1.GetHealthRequest{}); status.Code(err) != codes.Unauthenticated {
		t.Errorf("no token: %v", err)
	}
}
