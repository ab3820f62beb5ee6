package client

import (
	"cmp"
	"context"
	"sync/atomic"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/delivery"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/logsafe"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/parking"
)

// flows connects the handlers of a run with retries, observation, parking and dead letters.
type flows struct {
	cfg     *Config
	log     logsafe.Log
	calls   *callbacks
	parking *parking.Parking

	late *atomic.Int64
}

// flow returns the attempts of a subscription's handler.
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

// policy returns what new and parked messages have in common.
func (f *flows) policy(s *Subscription) delivery.Policy[*Delivery] {
	cfg := f.cfg
	p := delivery.Policy[*Delivery]{
		Deadline: cmp.Or(s.Timeout, cfg.HandlerTimeout), Budget: cmp.Or(s.Budget, cfg.RetryBudget),
		MaxAttempts: s.MaxAttempts, MinBackoff: s.Backoff, MaxBackoff: s.MaxBackoff, Classify: s.Classify,
		StoreTimeout: cfg.StoreTimeout, DeadLetter: f.deadLetter,
	}
	if s.breaker != nil {
		p.Breaker, p.Idle = s.breaker.Breaker, untried
	}
	return p
}

// observer returns an observer that logs what an operator needs to know. A message that is
// handled at the first attempt is not logged.
func (f *flows) observer() delivery.Observer[*Delivery] {
	log, hooks := f.log, &f.cfg.Hooks
	o := delivery.Observer[*Delivery]{
		Overrun: func(d *Delivery, attempt int) {
			f.late.Add(1)
			attempt = d.Attempts(attempt)
			log.Few("handler late", originOf(d), func(more []any) {
				log.Warn("mqtt: handler passed its deadline and still runs", append(more,
					logsafe.KeyFilter, d.sub.Filter, logsafe.KeyTopic, d.Topic, logsafe.KeyAttempts, attempt)...)
			})
		},
		Returned: func(*Delivery) { f.late.Add(-1) },
		Retrying: func(d *Delivery, attempts int, after time.Duration, err error) {
			log.Few("retries", originOf(d), func(more []any) {
				log.Warn("mqtt: handler failed and is tried again", append(more, logsafe.KeyFilter, d.sub.Filter, logsafe.KeyTopic, d.Topic,
					logsafe.KeyAttempts, attempts, logsafe.KeyRetryIn, after, logsafe.KeyError, err)...)
			})
			f.calls.handlerFailed(err)
			if h := hooks.Retrying; h != nil {
				f.calls.apart(func() { h(event.RetryInfo{Delivery: d.Info(attempts), After: after, Err: err}) })
			}
		},
		Finished: f.finished,
		DeadLetterFailed: func(d *Delivery, after time.Duration, err error) {
			f.parking.Failed(d, after, err)
		},
	}
	if hooks.Arriving != nil {
		o.Arrived = f.arrived
	}
	if h := hooks.Handled; h != nil {
		o.Attempted = func(d *Delivery, attempt int, took time.Duration, err error) {
			attempt = d.Attempts(attempt)
			info := event.HandleInfo{Delivery: d.Info(attempt), Duration: took, Err: err, SentAt: d.SentAt()}
			if t := d.attemptInfo; t != nil {
				info.Batch, info.Context, d.attemptInfo = t.batch, t.context, nil
			}
			callHook(f.calls, h, info)
		}
	}
	return o
}

// finished ends what goes on beside the attempts.
func (f *flows) finished(d *Delivery, o delivery.Outcome) {
	if d.manual() && o.Result != delivery.Handled {
		d.finish() // it will not be acknowledged by hand
	}
	f.parking.Finished(d, o)
}

// handle makes one attempt.
func (s *Subscription) handle(ctx context.Context, d *Delivery, _ int) error {
	return s.Handler(ctx, d)
}

// untried reports whether an attempt succeeded without calling the handler: a duplicate, or a
// deletion.
func untried(d *Delivery) bool { return d.sub != nil && d.sub.consumer != nil && !d.begun }

// waker returns a function that makes a waiting message be handled now, or nil when its
// task cannot be found.
func (s *Subscription) waker(d *Delivery) func() {
	key := s.at.keyOf(d)
	if key == 0 {
		return nil
	}
	return func() { s.lane.Wake(key, &d.task) }
}
