package client

import (
	"context"
	"errors"
	"time"

	"github.com/cenkalti/backoff/v5"

	v1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/v1"
	"github.com/kratos-mqtt/kratos-mqtt/event"
)

// Defaults of [Retry].
const (
	defaultMinBackoff = 100 * time.Millisecond
	defaultMaxBackoff = 5 * time.Second
)

// Retry describes how a publish is tried again that the broker refused for now. The zero
// value means the defaults.
type Retry struct {
	// Attempts is the maximum number of attempts; 0 means as many as the time of the call
	// allows.
	Attempts int
	// MinBackoff is the first pause, MaxBackoff the longest.
	MinBackoff, MaxBackoff time.Duration

	asked bool // set by an option of this publish: also tried again after an attempt that took its full time
}

// merge applies a service's configuration.
func (r *Retry) merge(c *v1.Retry) {
	setIf(&r.Attempts, int(c.GetMaxAttempts()))
	putDuration(&r.MinBackoff, c.GetMinBackoff())
	putDuration(&r.MaxBackoff, c.GetMaxBackoff())
}

// resolve fills in the defaults and reports every problem.
func (r *Retry) resolve() error {
	var errs []error
	if r.Attempts < 0 {
		errs = append(errs, event.NewSettingError("Publisher", "retry.max_attempts", "is %d, want 1 or more, or nothing for as many as the time allows", r.Attempts))
	}
	if r.MinBackoff < 0 || r.MaxBackoff < 0 {
		errs = append(errs, event.NewSettingError("Publisher", "retry.min_backoff", "pauses of %v to %v, want 0s or more", r.MinBackoff, r.MaxBackoff))
	}
	if r.MinBackoff == 0 {
		r.MinBackoff = defaultMinBackoff
		if m := r.MaxBackoff; m > 0 {
			r.MinBackoff = min(m, r.MinBackoff)
		}
	}
	if r.MaxBackoff == 0 {
		r.MaxBackoff = max(defaultMaxBackoff, r.MinBackoff)
	}
	if r.MinBackoff > r.MaxBackoff {
		errs = append(errs, event.NewSettingError("Publisher", "retry.min_backoff", "is %v, want at most max_backoff, %v", r.MinBackoff, r.MaxBackoff))
	}
	return errors.Join(errs...)
}

// again repeats a publish that failed: without the headers of its context if these make it
// too large, and then as often as its retries and the time of the call allow. The message
// keeps its id. A message without a waiting caller is not retried, and neither is a reply,
// because the requester can send the request again.
func (p *publisher) again(ctx context.Context, m *Outgoing, started time.Time, err error) error {
	if p.envelope.Lighten(m, err) {
		started = time.Now()
		err = p.send(ctx, m)
	}
	now := p.sending.Load()
	r := now.retries
	if m.Retries != nil {
		r.Attempts, r.asked = max(*m.Retries, 0)+1, true
	}
	e, ok := errors.AsType[*event.Error](err)
	if !ok || m.Done != nil || m.Transmit != nil || r.Attempts == 1 || !r.mayRetry(e, m.QoS) {
		return err
	}
	again := *m // a copy, as in send
	again.Attempts = 1
	err = r.publishAgain(ctx, started.Add(now.timeout), m.QoS, err, func(ctx context.Context) error {
		again.Attempts++
		return p.send(ctx, &again)
	})
	m.Attempts = again.Attempts
	return err
}

// publishAgain repeats a failed publish until it succeeds, may not be repeated, or the time
// is up: at the deadline if ctx has none. It returns the error of the last attempt, marked
// as "may have been sent" if that is true for any attempt.
func (r *Retry) publishAgain(ctx context.Context, deadline time.Time, qos byte, err error, publish func(context.Context) error) error {
	if _, ok := ctx.Deadline(); !ok && !r.asked {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, deadline)
		defer cancel()
	}
	pauses := backoff.ExponentialBackOff{
		InitialInterval: r.MinBackoff, MaxInterval: r.MaxBackoff, Multiplier: 2, RandomizationFactor: 0.5,
	}
	pauses.Reset()
	maybe := false
	for n := 1; err != nil; n++ {
		e, ok := errors.AsType[*event.Error](err)
		if !ok {
			return err
		}
		maybe = maybe || e.MayHaveBeenSent
		e.MayHaveBeenSent = maybe
		if n == r.Attempts || !r.mayRetry(e, qos) || !pause(ctx, min(pauses.NextBackOff(), r.MaxBackoff)) {
			return err
		}
		err = publish(ctx)
	}
	return nil
}

// mayRetry reports whether another attempt may succeed and do no harm.
func (r *Retry) mayRetry(e *event.Error, qos byte) bool {
	if qos != 1 && e.MayHaveBeenSent {
		return false // it would be delivered twice
	}
	switch e.Reason {
	case event.ReasonNetwork, event.ReasonSessionLost, event.ReasonQuota:
		return true
	case event.ReasonNotConnected, event.ReasonTimeout:
		return r.asked // the first attempt took its full time
	}
	return false
}

// pause waits for d. It reports whether there is time for another attempt after it.
func pause(ctx context.Context, d time.Duration) bool {
	if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) <= d {
		return false
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
