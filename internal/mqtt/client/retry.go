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

// Retry describes how a publish that the broker refused for now is tried again. The
// zero value means the defaults.
type Retry struct {
	// Attempts is the most attempts; 0 leaves it to the time of the call.
	Attempts int
	// MinBackoff is the first pause, MaxBackoff the longest.
	MinBackoff, MaxBackoff time.Duration

	asked bool // by an option of this publish: also after what took all of its time
}

// merge takes what a service's configuration sets.
func (r *Retry) merge(c *v1.Retry) {
	put(&r.Attempts, int(c.GetMaxAttempts()))
	putDuration(&r.MinBackoff, c.GetMinBackoff())
	putDuration(&r.MaxBackoff, c.GetMaxBackoff())
}

// resolve fills in the defaults and reports every problem.
func (r *Retry) resolve() error {
	var errs []error
	if r.Attempts < 0 {
		errs = append(errs, event.Setting("Publisher", "retry.max_attempts", "is %d, want 1 or more, or nothing for as many as the time allows", r.Attempts))
	}
	if r.MinBackoff < 0 || r.MaxBackoff < 0 {
		errs = append(errs, event.Setting("Publisher", "retry.min_backoff", "pauses of %v to %v, want 0s or more", r.MinBackoff, r.MaxBackoff))
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
		errs = append(errs, event.Setting("Publisher", "retry.min_backoff", "is %v, want at most max_backoff, %v", r.MinBackoff, r.MaxBackoff))
	}
	return errors.Join(errs...)
}

// retry returns the policy of one publish, whose caller may ask for a number
// of retries.
func (p *publisher) retry(retries *int) Retry {
	r := p.retries
	if retries != nil {
		r.Attempts, r.asked = max(*retries, 0)+1, true
	}
	return r
}

// attempt publishes, and again as far as the policy and the time of the call
// go. The message keeps its id.
func (p *publisher) attempt(ctx context.Context, m *Outgoing, r *Retry) error {
	started := time.Now()
	err := p.transmit(ctx, m)
	p.unplaced()
	if e, ok := errors.AsType[*event.Error](err); !ok || r.Attempts == 1 || !r.worth(e, m.QoS) {
		return err
	}
	again := *m // in memory of its own: the fast path needs none
	return r.again(ctx, started.Add(p.timeout), m.QoS, err, func(ctx context.Context) error {
		return p.transmit(ctx, &again)
	})
}

// transmit is one attempt.
func (p *publisher) transmit(ctx context.Context, m *Outgoing) error {
	if m.Transmit != nil {
		own := *m // in memory of its own, as above
		return m.Transmit(ctx, &own)
	}
	return ErrorOf("publish", m.Topic, p.client.Publish(ctx, &m.Message))
}

// again publishes what failed before until it succeeds, may not be repeated, or
// time is up: at the deadline when ctx has none. The error is that of the last
// attempt, but says that the message may have been sent when any attempt may
// have sent it.
func (r *Retry) again(ctx context.Context, deadline time.Time, qos byte, err error, publish func(context.Context) error) error {
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
		if n == r.Attempts || !r.worth(e, qos) || !pause(ctx, min(pauses.NextBackOff(), r.MaxBackoff)) {
			return err
		}
		err = publish(ctx)
	}
	return nil
}

// worth reports whether another attempt may succeed and do no harm.
func (r *Retry) worth(e *event.Error, qos byte) bool {
	if qos != 1 && e.MayHaveBeenSent {
		return false // would be a second delivery
	}
	switch e.Reason {
	case event.ReasonNetwork, event.ReasonSessionLost, event.ReasonQuota:
		return true
	case event.ReasonNotConnected, event.ReasonTimeout:
		return r.asked // the first attempt waited as long as it may
	}
	return false
}

// pause reports whether there is time for another attempt after it.
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
