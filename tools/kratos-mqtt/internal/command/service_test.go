package command_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/event/deadletter"
	"github.com/kratos-mqtt/kratos-mqtt/event/message"
	"github.com/kratos-mqtt/kratos-mqtt/event/outbox"
	"github.com/kratos-mqtt/kratos-mqtt/observe"
	"github.com/kratos-mqtt/kratos-mqtt/operator"
	"github.com/kratos-mqtt/kratos-mqtt/operator/remote"
)

// began is when everything in the service happened.
var began = time.Date(2026, 11, 30, 8, 0, 0, 0, time.UTC)

const (
	telemetry = "/plant.v1.Devices/RecordTelemetry"
	report    = "/plant.v1.Reports/SaveReport"
)

// plant is a service whose state the tests know.
type plant struct {
	letters *deadletter.Memory
	// onPublish is called after each publish; nil means nothing.
	onPublish func()

	mu          sync.Mutex
	published   []*deadletter.Letter
	waiting     []outbox.Waiting
	quarantined []outbox.Quarantined
	pauses      []event.SubscriptionPause
	retained    []event.RetainedMessage
	audit       []string
}

// newPlant returns a service with letters of two causes, a parked message, messages in the
// outbox and its quarantine, and two subscriptions, and its address.
func newPlant(t *testing.T, token string) (*plant, string) {
	t.Helper()
	p := &plant{letters: deadletter.NewMemory(0)}
	for i, l := range []*deadletter.Letter{
		{Operation: telemetry, Filter: "devices/+/data", Key: "d1", Reason: "no sensor 17", ErrorType: "NO_SENSOR", Message: message.Message{Topic: "devices/d1/data", Payload: []byte(`{"temperature":71,"serial":9007199254740993}`)}},
		{Operation: telemetry, Filter: "devices/+/data", Key: "d2", Reason: "no sensor 18", ErrorType: "NO_SENSOR", Message: message.Message{Topic: "devices/d2/data", Payload: []byte(`{"temperature":72}`)}},
		{Operation: report, Filter: "reports", Reason: "column \x1b[31mname\u202e is missing", ErrorType: "SCHEMA", Message: message.Message{Topic: "reports", Payload: []byte("\xff\x00\x01")}},
		{Operation: telemetry, Filter: "devices/+/data", Key: "d1", Reason: "no sensor 17", ErrorType: "NO_SENSOR", Suspect: "its MAC is wrong", Message: message.Message{Topic: "devices/d1/data", Payload: []byte(`{}`), Headers: []message.Header{{Key: "trace", Value: "a\nb"}}}},
		{Operation: report, Filter: "reports", Key: "r1", State: deadletter.Parked, Owner: "plant", Reason: "the database is away", ErrorType: "UNAVAILABLE", Message: message.Message{Topic: "reports", Payload: []byte(`{"id":5}`)}},
	} {
		l.ID = fmt.Sprintf("019a0000-0000-7000-8000-%012d", i+1)
		l.Service, l.Attempts, l.QoS = "plant", i+1, 1
		if l.State == "" {
			l.State = deadletter.Dead
		}
		l.Received = began.Add(time.Duration(i) * time.Minute)
		l.Time = l.Received.Add(time.Second)
		if l.State == deadletter.Parked {
			l.Until = began.Add(24 * time.Hour)
		}
		if err := p.letters.Put(t.Context(), l); err != nil {
			t.Fatal(err)
		}
	}
	for i, topic := range []string{"alerts/a", "alerts/b", "reports/c"} {
		e := &outbox.Entry{Seq: uint64(i + 1), ID: fmt.Sprint("e", i), Accepted: began, Message: message.Message{Topic: topic, Payload: []byte("{}")}}
		p.waiting = append(p.waiting, outbox.Waiting{Entry: e, Reason: []string{"QUOTA_EXCEEDED: too fast", "", ""}[i]})
	}
	p.quarantined = []outbox.Quarantined{{Seq: 9, Time: began, Reason: "NOT_AUTHORIZED: refused", Entry: &outbox.Entry{Seq: 9, Message: message.Message{Topic: "secret/x"}}}}
	p.pauses = []event.SubscriptionPause{{Name: telemetry, State: event.BreakerClosed, OpensAt: 5}, {Name: report, State: event.BreakerOpen, OpensAt: 5, Failures: 7, LastError: "the database is away", Since: began, Waiting: 3}}
	for topic, payload := range map[string]string{"lamps/1": `{"on":true}`, "lamps/2": "two \x1b[2J\u202e", "notes": "\xff\x00", "stuck": "1"} {
		p.retained = append(p.retained, event.RetainedMessage{Message: message.Message{Topic: topic, Payload: []byte(payload), QoS: 1}})
	}
	slices.SortFunc(p.retained, func(a, b event.RetainedMessage) int { return strings.Compare(a.Topic, b.Topic) })
	return p, p.serve(t, token)
}

func (p *plant) serve(t *testing.T, token string) string {
	t.Helper()
	probe := observe.NewProbe(observe.Limits{}, p)
	o := operator.New(operator.Options{Source: p, Parked: p, Outbox: p, Subscriptions: p, Archiver: p, Retained: p, Probe: probe, Audit: func(a operator.Action) {
		p.mu.Lock()
		defer p.mu.Unlock()
		if !a.DryRun {
			p.audit = append(p.audit, a.Name+" by "+a.By)
		}
	}})
	mux := http.NewServeMux()
	mux.Handle(remote.Path, remote.New(o, token).Handler())
	mux.Handle("/readyz", probe.Ready())
	mux.HandleFunc("/metrics", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, metrics) })
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return server.URL
}

// metrics are those of the service, as Prometheus reads them.
const metrics = `# TYPE kratosmqtt_connection_state gauge
kratosmqtt_connection_state{messaging_client_id="plant"} 1
kratosmqtt_connection_state{messaging_client_id="plant-pub"} 0
# TYPE kratosmqtt_subscriptions_wanted gauge
kratosmqtt_subscriptions_wanted 2
# TYPE kratosmqtt_subscriptions_granted gauge
kratosmqtt_subscriptions_granted 2
# TYPE kratosmqtt_outbox_depth gauge
kratosmqtt_outbox_depth 3
# TYPE kratosmqtt_outbox_age_seconds gauge
kratosmqtt_outbox_age_seconds 90
# TYPE kratosmqtt_outbox_size_bytes gauge
kratosmqtt_outbox_size_bytes 310
# TYPE kratosmqtt_outbox_fill_ratio gauge
kratosmqtt_outbox_fill_ratio 0.003
# TYPE kratosmqtt_outbox_quarantined gauge
kratosmqtt_outbox_quarantined 1
# TYPE kratosmqtt_parked_messages gauge
kratosmqtt_parked_messages 1
# TYPE kratosmqtt_parked_keys gauge
kratosmqtt_parked_keys 1
# TYPE kratosmqtt_certificate_broker_expiry_seconds gauge
kratosmqtt_certificate_broker_expiry_seconds 864000
# TYPE kratosmqtt_certificate_client_expiry_seconds gauge
kratosmqtt_certificate_client_expiry_seconds NaN
`

func (p *plant) Health() event.Health {
	return event.Health{
		Instance: "plant", Connected: true, Ready: true, ParkedKeys: 1, Parked: 1, Filters: 2, Granted: 2,
		HasOutbox: true, Outbox: event.OutboxHealth{Depth: 3, Bytes: 310, Age: 30 * time.Second, Fill: 0.003, Quarantined: 1},
		Sessions: []event.SessionHealth{{ClientID: "plant", Connected: true}, {ClientID: "plant-pub", LastError: errors.New("refused")}},
	}
}

func (*plant) Filters() []event.FilterHealth {
	return []event.FilterHealth{
		{Filter: "devices/+/data", AskedQoS: 1, Granted: true, GrantedQoS: 1},
		{Filter: "reports", AskedQoS: 1, Granted: true, Err: errors.New("granted \x1b[2J QoS 0")},
	}
}

func (p *plant) DeadLetters() (deadletter.Store, error) { return p.letters, nil }

// PublishLetter refuses device d2.
func (p *plant) PublishLetter(_ context.Context, l *deadletter.Letter) error {
	if l.Topic == "devices/d2/data" {
		return fmt.Errorf("%w: device d2 is gone", deadletter.ErrUnfit)
	}
	p.mu.Lock()
	p.published = append(p.published, l)
	p.mu.Unlock()
	if p.onPublish != nil {
		p.onPublish()
	}
	return nil
}

func (*plant) Add(context.Context, *deadletter.Letter) error { return nil }

func (*plant) RetryParked(_ context.Context, ids ...string) (int, error) { return len(ids), nil }

func (p *plant) Waiting(_ context.Context, after uint64, limit int) (list []outbox.Waiting, _ error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, w := range p.waiting {
		if w.Seq > after && len(list) < limit {
			list = append(list, w)
		}
	}
	return list, nil
}

func (p *plant) RetryWaiting(_ context.Context, keys ...string) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := len(p.waiting)
	p.waiting = slices.DeleteFunc(p.waiting, func(w outbox.Waiting) bool { return w.Reason != "" && slices.Contains(keys, w.Order()) })
	return n - len(p.waiting), nil
}

func (p *plant) DeleteWaiting(_ context.Context, seqs ...uint64) ([]uint64, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.waiting = slices.DeleteFunc(p.waiting, func(w outbox.Waiting) bool { return slices.Contains(seqs, w.Seq) })
	return nil, nil
}

func (p *plant) Quarantined(_ context.Context, after uint64, limit int) (list []outbox.Quarantined, _ error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, q := range p.quarantined {
		if q.Seq > after && len(list) < limit {
			list = append(list, q)
		}
	}
	return list, nil
}

func (p *plant) RetryQuarantined(_ context.Context, seqs ...uint64) error {
	return p.DeleteQuarantined(context.Background(), seqs...)
}

func (p *plant) DeleteQuarantined(_ context.Context, seqs ...uint64) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.quarantined = slices.DeleteFunc(p.quarantined, func(q outbox.Quarantined) bool { return slices.Contains(seqs, q.Seq) })
	return nil
}

func (p *plant) Subscriptions() []event.SubscriptionPause {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.pauses)
}

// steer sets the state of a subscription.
func (p *plant) steer(name string, state event.PauseState, since time.Time) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := range p.pauses {
		if p.pauses[i].Name == name {
			p.pauses[i].State, p.pauses[i].Since = state, since
			return nil
		}
	}
	return &event.Error{Reason: event.ReasonBadRequest, Cause: errors.New("no subscription " + strings.TrimPrefix(name, "/"))}
}

func (p *plant) Pause(_ context.Context, name string, _ ...event.PauseOption) error {
	return p.steer(name, event.PausedByHand, began)
}

func (p *plant) Resume(_ context.Context, name string) error {
	return p.steer(name, event.BreakerClosed, time.Time{})
}

// Retained has pages of one message, so that every list goes on.
func (p *plant) Retained(_ context.Context, q event.RetainedQuery) (page event.RetainedPage, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, m := range p.retained {
		fits := slices.ContainsFunc(q.Filters, func(f string) bool {
			return f == "#" || f == m.Topic || strings.HasSuffix(f, "/#") && strings.HasPrefix(m.Topic, strings.TrimSuffix(f, "#"))
		})
		switch {
		case !fits || m.Topic <= q.After:
		case len(page.Messages) == 1:
			page.Next = page.Messages[0].Topic
			return page, nil
		default:
			page.Messages = append(page.Messages, m)
		}
	}
	return page, nil
}

// ClearRetained acknowledges the topic stuck and does nothing.
func (p *plant) ClearRetained(_ context.Context, topic string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.retained = slices.DeleteFunc(p.retained, func(m event.RetainedMessage) bool { return m.Topic == topic && topic != "stuck" })
	return nil
}
