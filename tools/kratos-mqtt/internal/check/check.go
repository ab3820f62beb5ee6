// Package check judges a running service for a monitoring system.
package check

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"google.golang.org/grpc/status"

	operatorv1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/operator/v1"
	"github.com/kratos-mqtt/kratos-mqtt/observe"
	"github.com/kratos-mqtt/kratos-mqtt/tools/kratos-mqtt/internal/service"
)

// State is the result of a check; its value is the exit code that monitoring systems know.
type State int

// The states.
const (
	OK State = iota
	Warning
	Critical
	Unknown
)

// String returns the state in lower case.
func (s State) String() string { return [...]string{"ok", "warning", "critical", "unknown"}[s] }

// MarshalText implements encoding.TextMarshaler.
func (s State) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// worse returns the state of two together: critical, then warning, then unknown.
func worse(a, b State) State {
	rank := [...]int{OK: 0, Unknown: 1, Warning: 2, Critical: 3}
	if rank[b] > rank[a] {
		return b
	}
	return a
}

// Limit is from which value on a state is a warning or critical. 0 means never.
type Limit struct{ Warning, Critical float64 }

// on reports whether the limit can be reached.
func (l Limit) on() bool { return l.Warning > 0 || l.Critical > 0 }

// above judges a value that should be low.
func (l Limit) above(v float64) State {
	switch {
	case l.Critical > 0 && v >= l.Critical:
		return Critical
	case l.Warning > 0 && v >= l.Warning:
		return Warning
	}
	return OK
}

// below judges a value that should be high.
func (l Limit) below(v float64) State {
	switch {
	case l.Critical > 0 && v <= l.Critical:
		return Critical
	case l.Warning > 0 && v <= l.Warning:
		return Warning
	}
	return OK
}

// Limits are those of all checks.
type Limits struct {
	// OutboxAge is of the oldest message in the outbox, MessageAge of 99 % of the messages that
	// are handled within Sample, in seconds.
	OutboxAge, MessageAge Limit
	// Outbox is the number of messages in the outbox, Letters that of dead letters.
	Outbox, Letters Limit
	// CertificateDays is until the certificate of the broker or the client ends.
	CertificateDays Limit
	// Sample is how long messages are watched for their age; 0 means not at all.
	Sample time.Duration
}

// Result is the result of one check.
type Result struct {
	Name  string `json:"name"`
	State State  `json:"state"`
	// Value is what was measured, in Unit, with the limits; Text is for people.
	Value    *float64 `json:"value,omitempty"`
	Unit     string   `json:"unit,omitempty"`
	Warning  float64  `json:"warning,omitempty"`
	Critical float64  `json:"critical,omitempty"`
	Text     string   `json:"text"`
}

// Report is the results of all checks of a service.
type Report struct {
	Service string   `json:"service"`
	State   State    `json:"state"`
	Results []Result `json:"checks"`
}

func (r *Report) add(each Result) {
	r.State = worse(r.State, each.State)
	r.Results = append(r.Results, each)
}

// unknown adds a check that cannot be made.
func (r *Report) unknown(name string, err error) {
	r.add(Result{Name: name, State: Unknown, Text: err.Error()})
}

// measured adds a check of a value.
func (r *Report) measured(name, unit string, value float64, limit Limit, judge func(Limit, float64) State, text string) {
	r.add(Result{Name: name, State: judge(limit, value), Value: &value, Unit: unit, Warning: limit.Warning, Critical: limit.Critical, Text: text})
}

// Run makes all checks. A service that does not answer is critical; what it does not serve, and a
// limit asks for, is unknown.
func Run(ctx context.Context, at *service.Service, limits Limits) Report {
	r := Report{Service: at.Address()}
	ready, err := at.Ready(ctx)
	if err != nil {
		r.add(Result{Name: "readiness", State: Critical, Text: err.Error()})
		return r
	}
	r.readiness(ready)
	r.metrics(ctx, at, limits)
	if limits.Letters.on() {
		r.letters(ctx, at, limits.Letters)
	}
	return r
}

func (r *Report) readiness(ready observe.Report) {
	each := Result{Name: "readiness", Text: string(ready.Status)}
	switch ready.Status {
	case observe.Ready:
	case observe.Degraded:
		each.State = Warning
	case observe.NotReady:
		each.State = Critical
	default:
		each.State = Unknown
	}
	for _, f := range ready.Findings {
		each.Text += fmt.Sprintf(", %s (%s)", f.Text, f.Code)
	}
	r.add(each)
}

// Names of metrics, as Prometheus has them.
const (
	outboxDepth       = "kratosmqtt_outbox_depth"
	outboxAge         = "kratosmqtt_outbox_age_seconds"
	messageAge        = "kratosmqtt_message_age_seconds"
	brokerCertificate = "kratosmqtt_certificate_broker_expiry_seconds"
	clientCertificate = "kratosmqtt_certificate_client_expiry_seconds"
)

const day = 24 * 60 * 60

func (r *Report) metrics(ctx context.Context, at *service.Service, l Limits) {
	sample := l.Sample > 0 && l.MessageAge.on()
	if !l.Outbox.on() && !l.OutboxAge.on() && !l.CertificateDays.on() && !sample {
		return
	}
	m, err := at.Metrics(ctx)
	if err != nil {
		r.unknown("metrics", err)
		return
	}
	if v, known := m.Value(outboxDepth); known && l.Outbox.on() {
		r.measured("outbox", "", v, l.Outbox, Limit.above, fmt.Sprintf("%.0f in the outbox", v))
	}
	if v, known := m.Value(outboxAge); known && l.OutboxAge.on() {
		r.measured("outbox_age", "s", v, l.OutboxAge, Limit.above, fmt.Sprintf("the oldest in the outbox has waited for %v", seconds(v)))
	}
	for _, c := range []struct{ name, metric, whose string }{
		{"broker_certificate", brokerCertificate, "the broker"}, {"client_certificate", clientCertificate, "the client"},
	} {
		if v, known := m.Value(c.metric); known && l.CertificateDays.on() {
			r.measured(c.name, "d", v/day, l.CertificateDays, Limit.below, fmt.Sprintf("the certificate of %s ends in %.1f days", c.whose, v/day))
		}
	}
	if sample {
		r.messageAge(ctx, at, m, l)
	}
}

// messageAge watches the messages of a while.
func (r *Report) messageAge(ctx context.Context, at *service.Service, before service.Metrics, l Limits) {
	timer := time.NewTimer(l.Sample)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
		r.unknown("message_age", ctx.Err())
		return
	}
	now, err := at.Metrics(ctx)
	if err != nil {
		r.unknown("message_age", err)
		return
	}
	v, known := now.Quantile(messageAge, 0.99, before)
	if !known {
		r.add(Result{Name: "message_age", Text: fmt.Sprintf("no message with a time was handled within %v", l.Sample)})
		return
	}
	r.measured("message_age", "s", v, l.MessageAge, Limit.above, fmt.Sprintf("99 %% of the messages of %v were at most %v old", l.Sample, seconds(v)))
}

func seconds(v float64) string {
	if v > 1e9 {
		return "unlimited"
	}
	return time.Duration(v * float64(time.Second)).Round(time.Millisecond).String()
}

// letters counts letters, as far as the limits need it.
func (r *Report) letters(ctx context.Context, at *service.Service, l Limit) {
	enough := min(math.Ceil(max(l.Warning, l.Critical)), math.MaxInt32)
	all, err := at.Groups(ctx, nil, operatorv1.State_STATE_DEAD, int64(enough))
	if err != nil {
		r.unknown("letters", errors.New(status.Convert(err).Message()))
		return
	}
	r.measured("letters", "", float64(all.Count), l, Limit.above, fmt.Sprintf("%d%s stored as dead letters", all.Count, map[bool]string{true: " or more"}[all.More]))
}
