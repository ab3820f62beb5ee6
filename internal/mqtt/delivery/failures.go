package delivery

import (
	"errors"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event"
)

// failures are those of one message, as its breaker sees them.
type failures struct {
	noted bool
	first uint32 // the value that Breaker.failed returned
	epoch uint32 // of the breaker, when the budget began
}

// note tells the breaker how an attempt ended that began in an epoch. Only failures count
// that a retry may help.
func (d *Delivery[M]) note(epoch uint32, err error) {
	p := &d.attempts.policy
	if p.Breaker == nil || IsLater(err) {
		return
	}
	if err == nil {
		if p.Idle == nil || !p.Idle(d.msg) {
			p.Breaker.succeeded(epoch)
		}
		return
	}
	f := &d.repeats().failed
	if !f.noted {
		f.noted, f.epoch = true, epoch
	}
	if p.counts(err) {
		f.first = p.Breaker.failed(epoch, d, f.first, err)
	}
}

// counts reports whether a retry may help after an error, which then may be that of an
// outage. A panic is a defect of the handler or its message.
func (p *Policy[M]) counts(err error) bool {
	return p.verdict(err) == event.VerdictRetry && !isPanic(err)
}

// isPanic reports whether a handler did not return an error of its own.
func isPanic(err error) bool {
	_, is := errors.AsType[*PanicError](err)
	return is || errors.Is(err, ErrGoexit) || errors.Is(err, ErrBatchPanicked)
}

// excused reports whether the breaker stops the message, whose attempts do not count then. The
// budget of the message begins anew if the breaker stopped it since the first failure.
func (d *Delivery[M]) excused() bool {
	r := d.repeats()
	now, ever := d.attempts.policy.Breaker.stopped(&r.failed)
	if ever {
		r.renew, r.spared, r.pauses = true, d.tries, nil
		d.gaveUp = false
	}
	return now
}

// limit returns the time after the start of the first attempt within which another one may
// start. It is longer than the budget while the failures may be those of an outage that the
// breaker has not found yet, as it is if each attempt runs into a timeout.
func (d *Delivery[M]) limit() time.Duration {
	p := &d.attempts.policy
	if b := p.Breaker; b.unsure(d.repeats().failed.first) {
		return max(p.Budget, b.opts.Window)
	}
	return p.Budget
}

// TogetherFailed tells the breaker of an attempt at many messages that failed as a whole, and
// reports whether they have to wait for it: then no message is to be handled by itself. since
// is the [Breaker.Epoch] of its start.
func (a *Attempts[M]) TogetherFailed(since uint32, err error) (wait bool) {
	b := a.policy.Breaker
	if b == nil || !a.policy.counts(err) {
		return false
	}
	f := failures{noted: true, epoch: since}
	b.failed(since, new(failures), 0, err)
	_, wait = b.stopped(&f)
	return wait
}
