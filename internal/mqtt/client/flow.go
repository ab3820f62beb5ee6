package client

import (
	"cmp"
	"context"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/delivery"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/logsafe"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/parking"
)

// flows join the handlers of a run with how they are retried, observed, parked and
// dead-lettered.
type flows struct {
	cfg     *Config
	log     Logger
	calls   *callbacks
	parking *parking.Parking

	retries, overruns *logsafe.Few // lines of the log
}

// flow joins a subscription's handler with how it is retried, observed, parked
// and dead-lettered.
func (f *flows) flow(s *Subscription) (*delivery.Attempts[*Delivery], error) {
	policy := f.policy(s)
	policy.Exhausted, policy.Observer = s.Exhausted, f.observer()
	if b := s.batch; b != nil {
		policy.Observer.Finished = func(d *Delivery, o delivery.Outcome) {
			f.finished(d, o)
			b.finished(d)
		}
	}
	policy.Waker = s.waker
	if b := s.backlog; b != nil {
		policy.Held = func(d *Delivery) delivery.Hold { return b.Hold(d) }
		policy.Park = func(ctx context.Context, d *Delivery, cause error, attempts int) error {
			return b.Park(ctx, d, cause, attempts)
		}
	}
	return delivery.NewAttempts(s.handle, policy)
}

// policy is what new and parked messages have in common.
func (f *flows) policy(s *Subscription) delivery.Policy[*Delivery] {
	cfg := f.cfg
	return delivery.Policy[*Delivery]{
		Deadline: cmp.Or(s.Timeout, cfg.HandlerTimeout), Budget: cmp.Or(s.Budget, cfg.RetryBudget),
		MaxAttempts: s.MaxAttempts, MinBackoff: s.Backoff, MaxBackoff: s.MaxBackoff, Classify: s.Classify,
		StoreTimeout: cfg.StoreTimeout, DeadLetter: f.deadLetter,
	}
}

// observer returns an observer that logs what an operator has to know. A message that
// is handled at the first attempt is not logged.
func (f *flows) observer() delivery.Observer[*Delivery] {
	log, hooks := f.log, &f.cfg.Hooks
	o := delivery.Observer[*Delivery]{
		Overrun: func(d *Delivery, attempt int) {
			attempt = d.Attempts(attempt)
			f.overruns.Say(originOf(d), func(others string) {
				log.Warnf("mqtt: handler of %q passed its deadline and goes on: topic %q, attempt %d%s", d.sub.Filter, d.Topic, attempt, others)
			})
		},
		Retrying: func(d *Delivery, attempts int, after time.Duration, err error) {
			f.retries.Say(originOf(d), func(others string) {
				log.Warnf("mqtt: handler of %q failed, retry in %v: topic %q, attempt %d%s: %v", d.sub.Filter, after, d.Topic, attempts, others, err)
			})
			f.calls.handlerFailed(err)
			tellOf(f.calls, hooks.Retrying, event.RetryInfo{Delivery: d.Info(attempts), After: after, Err: err})
		},
		Finished: f.finished,
		DeadLetterFailed: func(d *Delivery, after time.Duration, err error) {
			f.parking.Failed(d, after, err)
		},
	}
	if h := hooks.Handled; h != nil {
		o.Attempted = func(d *Delivery, attempt int, took time.Duration, err error) {
			attempt = d.Attempts(attempt)
			tellOf(f.calls, h, event.HandleInfo{Delivery: d.Info(attempt), Duration: took, Err: err})
		}
	}
	return o
}

// finished ends what happened beside the attempts.
func (f *flows) finished(d *Delivery, o delivery.Outcome) {
	if d.manual() && o.Result != delivery.Handled {
		d.finish() // nobody else will acknowledge it
	}
	f.parking.Finished(d, o)
}

// handle is one attempt.
func (s *Subscription) handle(ctx context.Context, d *Delivery, attempt int) error {
	d.Attempt = d.Attempts(attempt)
	return s.Handler(ctx, d)
}

// waker returns what has a message handled now that could not be before; nil when its
// task cannot be found.
func (s *Subscription) waker(d *Delivery) func() {
	key := s.at.keyOf(d)
	if key == 0 {
		return nil
	}
	return func() { s.lane.Wake(key, &d.task) }
}
