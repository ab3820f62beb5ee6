package engine

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/internal/engine/delivery"
)

// flow joins a subscription's handler with how it is retried, observed and
// dead-lettered.
func (r *run) flow(s *Subscription) (*delivery.Attempts[*Delivery], error) {
	cfg := &r.client.cfg
	policy := delivery.Policy[*Delivery]{
		Deadline: cfg.HandlerTimeout, Budget: cfg.RetryBudget,
		MaxAttempts: s.MaxAttempts, MinBackoff: s.Backoff, Classify: s.Classify,
		DeadLetter: r.bury, Observer: r.observer(),
	}
	if s.Timeout > 0 {
		policy.Deadline = s.Timeout
	}
	policy.MaxBackoff = max(delivery.DefaultMaxBackoff, s.Backoff)
	return delivery.NewAttempts(func(ctx context.Context, d *Delivery, attempt int) error {
		d.Attempt = attempt
		return s.Handler(ctx, d)
	}, policy)
}

// observer logs what an operator has to know; a message handled at the first
// attempt is none of it.
func (r *run) observer() delivery.Observer[*Delivery] {
	log, hooks := r.client.log, &r.client.cfg.Hooks
	o := delivery.Observer[*Delivery]{
		Overrun: func(d *Delivery, attempt int) {
			log.Warnf("mqtt: handler of %q passed its deadline and goes on: topic %q, attempt %d", d.sub.Filter, d.Topic, attempt)
		},
		Retrying: func(d *Delivery, attempts int, after time.Duration, err error) {
			log.Warnf("mqtt: handler of %q failed, retry in %v: topic %q, attempt %d: %v", d.sub.Filter, after, d.Topic, attempts, err)
			logPanic(r, err)
			if h := hooks.Retrying; h != nil {
				r.client.hook(func() { h(d, attempts, after, err) })
			}
		},
		Finished: func(d *Delivery, o delivery.Outcome) {
			if d.sub.ManualAck && o.Result != delivery.Handled {
				d.finish() // nobody else will acknowledge it
			}
		},
		DeadLetterFailed: func(d *Delivery, after time.Duration, err error) {
			log.Errorf("mqtt: dead letter not accepted, message stays unacknowledged, retry in %v: topic %q: %v", after, d.Topic, err)
		},
	}
	if h := hooks.Handled; h != nil {
		o.Attempted = func(d *Delivery, attempt int, took time.Duration, err error) {
			r.client.hook(func() { h(d, attempt, took, err) })
		}
	}
	return o
}

func logPanic(r *run, err error) {
	if p, ok := errors.AsType[*delivery.PanicError](err); ok {
		r.client.logPanic(fmt.Sprintf("mqtt: handler panicked: %v", p.Value), p.Stack)
	}
}
