package client

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	kerrors "github.com/go-kratos/kratos/v2/errors"
	"google.golang.org/protobuf/types/known/durationpb"

	v1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/v1"
	"github.com/kratos-mqtt/kratos-mqtt/event"
)

// Every problem of the configuration is reported, by its key.
func TestPoliciesNameAllProblems(t *testing.T) {
	t.Parallel()
	negative, invalid := durationpb.New(-time.Second), &durationpb.Duration{Seconds: 1, Nanos: -1}
	_, err := readPolicies(&v1.Subscriber{
		Retry: &v1.Retry{MinBackoff: durationpb.New(time.Minute), MaxBackoff: durationpb.New(time.Second)},
		Subscriptions: map[string]*v1.Subscription{
			"":    {},
			"a/+": {HandlerTimeout: negative, RetryBudget: invalid, Exhausted: "give up", Reasons: map[string]string{"X": "ignore", "": "drop"}},
			"c":   {HandlerTimeout: durationpb.New(0), RetryBudget: durationpb.New(0)},
			"b":   {Exhausted: "park", Retry: &v1.Retry{MinBackoff: negative, MaxBackoff: invalid}},
		},
	}, errors.New("nothing parks"))
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{
		`subscriber.retry: min_backoff is 1m0s, want at most max_backoff, 1s`,
		`subscriber.subscriptions.: want a topic filter`,
		`subscriber.subscriptions.a/+.handler_timeout: is -1s, want more than 0s`,
		`subscriber.subscriptions.a/+.retry_budget: is no valid duration`,
		`subscriber.subscriptions.a/+.exhausted: is not known, want park`,
		`subscriber.subscriptions.a/+.reasons: "": no reason`,
		`"X": is not known, want retry`,
		`subscriber.subscriptions.c.handler_timeout: is 0s, want more`,
		`subscriber.subscriptions.b.exhausted: nothing parks`,
		`subscriber.subscriptions.b.retry.min_backoff: is -1s, want more than 0s`,
		`subscriber.subscriptions.b.retry.max_backoff: is no valid duration`,
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%v\ndoes not say %s", err, want)
		}
	}
	if strings.Contains(err.Error(), "c.retry_budget") { // no time for a second attempt
		t.Error(err)
	}
	once, err := readPolicies(&v1.Subscriber{Subscriptions: map[string]*v1.Subscription{"c": {RetryBudget: durationpb.New(0)}}}, nil)
	if err != nil || once.by["c"].budget != 1 {
		t.Errorf("a budget of 0s is %v, %v, want the least", once.by["c"].budget, err)
	}
	if _, err := readPolicies(nil, nil); err != nil {
		t.Error(err)
	}
}

// The configuration of a subscription takes precedence over its code, and that over the
// configuration of all subscriptions.
func TestPolicyPrecedence(t *testing.T) {
	t.Parallel()
	all, err := readPolicies(&v1.Subscriber{
		Retry: &v1.Retry{MaxAttempts: 9, MinBackoff: durationpb.New(time.Second), MaxBackoff: durationpb.New(2 * time.Second)},
		Subscriptions: map[string]*v1.Subscription{
			"a/+": {
				RetryBudget: durationpb.New(time.Minute), Concurrency: 3, Exhausted: "drop",
				Reasons: map[string]string{"A": "drop", "404": "acknowledge"},
			},
			"/pkg.Events/Report": {HandlerTimeout: durationpb.New(time.Hour)},
		},
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	code := policy{attempts: 2, budget: time.Second, reasons: map[string]event.Verdict{"A": event.VerdictRetry, "B": event.VerdictDrop}}
	p := all.policy(code, "", "a/+", "$share/g/a/+")
	if p.attempts != 2 || p.budget != time.Minute || p.minBackoff != time.Second || p.maxBackoff != 2*time.Second ||
		p.concurrency != 3 || p.exhausted != event.ExhaustedDrop || p.reasons["A"] != event.VerdictDrop || p.reasons["B"] != event.VerdictDrop ||
		p.reasons["404"] != event.VerdictAcknowledge {
		t.Errorf("%+v", p)
	}
	if code.reasons["A"] != event.VerdictRetry {
		t.Error("the code's reasons were changed")
	}
	if p := all.policy(policy{}, "/pkg.Events/Report", "reports"); p.timeout != time.Hour || p.attempts != 9 {
		t.Errorf("%+v", p)
	}
	if p := all.policy(code, "other"); p.budget != time.Second || p.exhausted != "" {
		t.Errorf("%+v", p)
	}
	var sub Subscription
	p = policy{minBackoff: time.Minute, maxBackoff: time.Second}
	if p.apply(&sub); sub.MaxBackoff != time.Minute {
		t.Errorf("%+v", sub)
	}
}

func TestClassify(t *testing.T) {
	t.Parallel()
	p := policy{reasons: map[string]event.Verdict{
		"GONE": event.VerdictDrop, "404": event.VerdictAcknowledge, "400": event.VerdictRetry, "BAD_JSON": event.VerdictDeadLetter, "503": event.VerdictDeadLetter,
	}}
	wrap := func(err error) error { return fmt.Errorf("use case: %w", fmt.Errorf("repository: %w", err)) }
	for name, tt := range map[string]struct {
		err        error
		want, bare event.Verdict // with and without the reasons
	}{
		"plain":                    {errors.New("x"), event.VerdictRetry, event.VerdictRetry},
		"400":                      {wrap(kerrors.BadRequest("R", "m")), event.VerdictRetry, event.VerdictDeadLetter},
		"413":                      {wrap(kerrors.New(413, "R", "m")), event.VerdictDeadLetter, event.VerdictDeadLetter},
		"422":                      {wrap(kerrors.New(422, "R", "m")), event.VerdictDeadLetter, event.VerdictDeadLetter},
		"501":                      {wrap(kerrors.New(501, "R", "m")), event.VerdictDeadLetter, event.VerdictDeadLetter},
		"404":                      {wrap(kerrors.NotFound("R", "m")), event.VerdictAcknowledge, event.VerdictRetry},
		"reason over code":         {wrap(kerrors.NotFound("GONE", "m")), event.VerdictDrop, event.VerdictRetry},
		"503":                      {kerrors.ServiceUnavailable("R", "m"), event.VerdictDeadLetter, event.VerdictRetry},
		"joined":                   {errors.Join(errors.New("x"), kerrors.New(422, "R", "m")), event.VerdictDeadLetter, event.VerdictDeadLetter},
		"ours":                     {wrap(&event.Error{Op: "decode", Topic: "a", Reason: event.ReasonCodec, Cause: errors.New("x")}), event.VerdictRetry, event.VerdictDeadLetter},
		"timeout":                  {wrap(context.DeadlineExceeded), event.VerdictRetry, event.VerdictRetry},
		"stopped":                  {wrap(context.Canceled), event.VerdictRetry, event.VerdictRetry},
		"400 of a canceled query":  {wrap(kerrors.BadRequest("R", "m").WithCause(context.Canceled)), event.VerdictRetry, event.VerdictDeadLetter},
		"422 of a late query":      {wrap(kerrors.New(422, "R", "m").WithCause(context.DeadlineExceeded)), event.VerdictDeadLetter, event.VerdictDeadLetter},
		"503 of a late query":      {kerrors.New(500, "R", "m").WithCause(context.DeadlineExceeded), event.VerdictRetry, event.VerdictRetry},
		"permanent":                {wrap(event.Permanent(errors.New("x"))), event.VerdictDeadLetter, event.VerdictDeadLetter},
		"verdict over reason":      {event.WithVerdict(kerrors.NotFound("GONE", "m"), event.VerdictRetry), event.VerdictRetry, event.VerdictRetry},
		"the outer of two":         {event.WithVerdict(event.Permanent(errors.New("x")), event.VerdictDrop), event.VerdictDrop, event.VerdictDrop},
		"acknowledge":              {event.WithVerdict(errors.New("x"), event.VerdictAcknowledge), event.VerdictAcknowledge, event.VerdictAcknowledge},
		"an unknown verdict":       {event.WithVerdict(errors.New("x"), "?"), event.VerdictRetry, event.VerdictRetry},
		"permanent around timeout": {event.Permanent(context.DeadlineExceeded), event.VerdictDeadLetter, event.VerdictDeadLetter},
	} {
		if got := p.classify(tt.err); got != tt.want {
			t.Errorf("%s: %v, want %v", name, got, tt.want)
		}
		if got := (&policy{}).classify(tt.err); got != tt.bare {
			t.Errorf("%s, without reasons: %v, want %v", name, got, tt.bare)
		}
	}
	if event.Permanent(nil) != nil {
		t.Error("nil became an error")
	}
	if _, ok := event.VerdictOf(errors.New("x")); ok {
		t.Error("a verdict out of nothing")
	}
	if err := event.Permanent(context.Canceled); !errors.Is(err, context.Canceled) || err.Error() != context.Canceled.Error() {
		t.Error(err)
	}
}
