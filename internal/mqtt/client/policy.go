package client

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	v1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/v1"
	"github.com/kratos-mqtt/kratos-mqtt/event"
)

// policy is how the messages of a subscription are retried. A zero field is taken from
// the next level: the configuration of the subscription takes precedence over its
// options in code, and those over the configuration of all subscriptions.
type policy struct {
	timeout, budget, minBackoff, maxBackoff time.Duration
	attempts                                int
	parkAttempts                            int // -1 means no bound
	concurrency                             int
	exhausted                               event.Exhausted
	reasons                                 map[string]event.Verdict // by reason or code
	ownSession                              bool
	sessionName                             string
	trustSender, ignoreRetained             *bool
	breaker                                 *event.Breaker
}

// policies are the policies in a service's configuration.
type policies struct {
	all policy
	by  map[string]policy // topic filter, or operation
}

// readPolicies reports every problem by its key. cannotPark is why messages cannot be
// parked, or nil if they can.
func readPolicies(c *v1.Subscriber, cannotPark error) (policies, error) {
	var p problems
	all := policies{by: make(map[string]policy, len(c.GetSubscriptions()))}
	p.retry("retry", c.GetRetry(), &all.all)
	p.breaker("breaker", c.GetBreaker(), &all.all)
	for _, name := range slices.Sorted(maps.Keys(c.GetSubscriptions())) {
		key, s := "subscriptions."+name, c.GetSubscriptions()[name]
		if name == "" {
			p.addf(key, "want a topic filter or an operation")
		}
		own := policy{concurrency: int(s.GetConcurrency()), trustSender: s.TrustSender, ignoreRetained: s.IgnoreRetained}
		p.duration(key+".handler_timeout", s.GetHandlerTimeout(), &own.timeout)
		if d := s.GetRetryBudget(); d != nil && d.AsDuration() == 0 {
			own.budget = 1 // over after the first attempt, as that of all
		} else {
			p.duration(key+".retry_budget", d, &own.budget)
		}
		p.retry(key+".retry", s.GetRetry(), &own)
		p.breaker(key+".breaker", s.GetBreaker(), &own)
		own.exhausted = event.Exhausted(s.GetExhausted())
		if err := CheckExhausted(own.exhausted); err != nil {
			p.addf(key+".exhausted", "%w", err)
		}
		if s.ParkMaxAttempts != nil {
			own.parkAttempts = ParkAttempts(int(s.GetParkMaxAttempts()))
		}
		if own.exhausted == event.ExhaustedPark && cannotPark != nil {
			p.addf(key+".exhausted", "%w", cannotPark)
		}
		own.session(&p, key, s)
		own.reasons = make(map[string]event.Verdict, len(s.GetReasons()))
		for reason, v := range s.GetReasons() {
			own.reasons[reason] = event.Verdict(v)
		}
		if err := checkReasons(own.reasons); err != nil {
			p.addf(key+".reasons", "%w", err)
		}
		all.by[name] = own
	}
	return all, errors.Join(p...)
}

// problems collects errors with the keys that they belong to.
type problems []error

// addf adds a problem of a setting of the subscriber.
func (p *problems) addf(key, format string, args ...any) {
	*p = append(*p, event.NewSettingError("Subscriber", key, format, args...))
}

// duration reads a setting that must not be 0, because 0 would silently mean the default.
func (p *problems) duration(key string, d *durationpb.Duration, to *time.Duration) {
	switch {
	case d == nil:
	case !d.IsValid():
		p.addf(key, "is no valid duration")
	case d.AsDuration() < 0:
		p.addf(key, "is %v, want more than 0s", d.AsDuration())
	case d.AsDuration() == 0:
		p.addf(key, "is 0s, want more; leave it out for the default")
	default:
		*to = d.AsDuration()
	}
}

func (p *problems) retry(key string, r *v1.Retry, to *policy) {
	to.attempts = int(r.GetMaxAttempts())
	p.duration(key+".min_backoff", r.GetMinBackoff(), &to.minBackoff)
	p.duration(key+".max_backoff", r.GetMaxBackoff(), &to.maxBackoff)
	if to.maxBackoff > 0 && to.minBackoff > to.maxBackoff {
		p.addf(key, "min_backoff is %v, want at most max_backoff, %v", to.minBackoff, to.maxBackoff)
	}
}

// ParkAttempts converts a number of attempts whose 0 means no bound into the form of
// [Subscription].
func ParkAttempts(n int) int {
	if n == 0 {
		return -1
	}
	return n
}

// CheckExhausted returns an error for a value that cannot follow the last attempt; "" means
// the default.
func CheckExhausted(e event.Exhausted) error {
	switch e {
	case "", event.ExhaustedPark, event.ExhaustedDeadLetter, event.ExhaustedBlock, event.ExhaustedDrop:
		return nil
	}
	return errors.New("is not known, want park, dead_letter, block or drop")
}

func checkVerdict(v event.Verdict) error {
	switch v {
	case event.VerdictRetry, event.VerdictDeadLetter, event.VerdictDrop, event.VerdictAcknowledge:
		return nil
	}
	return errors.New("is not known, want retry, dead_letter, drop or acknowledge")
}

// checkReasons reports every value that is not a verdict.
func checkReasons(all map[string]event.Verdict) error {
	var errs []error
	for _, reason := range slices.Sorted(maps.Keys(all)) {
		err := checkVerdict(all[reason])
		if err == nil && reason == "" {
			err = errors.New("no reason and no code")
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("%q: %w", reason, err))
		}
	}
	return errors.Join(errs...)
}

// classify returns the verdict for an error: its own, otherwise by its reason, its code or
// its class, in this order.
func (p *policy) classify(err error) event.Verdict {
	if v, ok := event.VerdictOf(err); ok {
		if checkVerdict(v) != nil {
			return event.VerdictRetry
		}
		return v
	}
	if len(p.reasons) > 0 {
		e := event.StatusOf(err)
		if v, ok := p.reasons[e.Reason]; ok {
			return v
		}
		if v, ok := p.reasons[strconv.Itoa(e.Code)]; ok {
			return v
		}
	}
	return classify(err)
}

// override sets in to every setting that p has.
func (p *policy) override(to *policy) {
	setIf(&to.timeout, p.timeout)
	setIf(&to.budget, p.budget)
	setIf(&to.minBackoff, p.minBackoff)
	setIf(&to.maxBackoff, p.maxBackoff)
	setIf(&to.attempts, p.attempts)
	setIf(&to.parkAttempts, p.parkAttempts)
	setIf(&to.concurrency, p.concurrency)
	setIf(&to.exhausted, p.exhausted)
	setIf(&to.ownSession, p.ownSession)
	setIf(&to.sessionName, p.sessionName)
	setIf(&to.trustSender, p.trustSender)
	setIf(&to.ignoreRetained, p.ignoreRetained)
	setIf(&to.breaker, p.breaker)
	if len(p.reasons) > 0 {
		merged := make(map[string]event.Verdict, len(to.reasons)+len(p.reasons))
		maps.Copy(merged, to.reasons)
		maps.Copy(merged, p.reasons)
		to.reasons = merged
	}
}

// apply sets the policy of a subscription.
func (p *policy) apply(sub *Subscription) {
	sub.Timeout, sub.Budget, sub.Backoff, sub.MaxBackoff = p.timeout, p.budget, p.minBackoff, p.maxBackoff
	sub.MaxAttempts, sub.Concurrency, sub.Exhausted = p.attempts, p.concurrency, p.exhausted
	sub.ParkMaxAttempts, sub.Classify, sub.Breaker = p.parkAttempts, p.classify, p.breaker
	sub.IgnoreRetained = p.ignoreRetained != nil && *p.ignoreRetained
	if sub.MaxBackoff > 0 && p.minBackoff > p.maxBackoff {
		sub.MaxBackoff = p.minBackoff // set in two places: the longer first pause applies
	}
}

// trustsSender reports whether the context that arrived with a message is used.
func (p *policy) trustsSender() bool { return p.trustSender != nil && *p.trustSender }

// policy combines the policies of code and configuration for a subscription with these
// names.
func (p *policies) policy(own policy, names ...string) policy {
	joined := p.all
	own.override(&joined)
	for _, name := range names {
		if named, ok := p.by[name]; ok {
			named.override(&joined)
			break
		}
	}
	return joined
}

// classify dead-letters at once what no retry can help: a message that cannot be decoded,
// or one that the handler blames by the code of a Kratos error, whatever caused that error.
// An error of a context alone has no such code.
func classify(err error) event.Verdict {
	switch event.StatusOf(err).Code {
	case 400, 413, 422, 501:
		return event.VerdictDeadLetter
	}
	return event.VerdictRetry
}

// policyOf returns the policy that the code sets for a subscription.
func policyOf(s *Subscription) policy {
	t := s.Typed
	return policy{
		timeout: s.Timeout, budget: s.Budget, minBackoff: s.Backoff, maxBackoff: s.MaxBackoff,
		attempts: s.MaxAttempts, parkAttempts: s.ParkMaxAttempts, concurrency: s.Concurrency, exhausted: s.Exhausted, reasons: t.Reasons,
		ownSession: t.OwnSession, sessionName: t.SessionName, trustSender: &t.TrustSender, ignoreRetained: &s.IgnoreRetained,
		breaker: s.Breaker,
	}
}

// setIf sets a value unless it is zero.
func setIf[T comparable](to *T, v T) {
	var zero T
	if v != zero {
		*to = v
	}
}
