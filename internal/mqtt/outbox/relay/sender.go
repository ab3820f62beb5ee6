package relay

import (
	"context"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event/outbox"
)

// runSender passes entries to the send function, one after the other, whenever the window
// permits.
func (r *Relay) runSender(ctx context.Context) {
	for ctx.Err() == nil {
		f := r.nextFlight(ctx)
		if f.it != nil {
			if err := r.send(f.ctx, f.entry, func(err error) { r.outcome(f, err) }); err != nil {
				r.outcome(f, err)
			}
			r.sent()
			continue
		}
		select {
		case <-ctx.Done():
		case <-r.stopping:
			return
		case <-r.wakeSender:
		}
	}
}

// flight is one attempt to send an item.
type flight struct {
	ctx     context.Context // ends with the lease
	it      *item
	entry   *outbox.Entry
	attempt int
}

// nextFlight returns the next attempt, or an empty flight while this process may not send.
func (r *Relay) nextFlight(ctx context.Context) flight {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	if r.isStopping() || !r.lease.permits(now) {
		return flight{}
	}
	it := r.w.next()
	if it == nil {
		return flight{}
	}
	if r.w.inFlight == 1 {
		r.lease.lastOutcome = now
	}
	r.lease.sendingSince = now
	return flight{ctx: r.lease.within(ctx), it: it, entry: it.entry, attempt: it.attempt}
}

func (r *Relay) sent() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lease.sendingSince = time.Time{}
}

// outcome processes the outcome of an attempt. A second outcome of the same attempt is
// ignored.
func (r *Relay) outcome(f flight, err error) {
	var ref Refusal
	permanent, refused, fails := false, false, failure{err: err}
	if err != nil {
		if permanent = r.o.Permanent(err); !permanent {
			ref, refused = r.o.Refused(err)
			fails.awaited = !refused && r.o.Awaited(err)
			fails.unanswered = !refused && r.o.Unanswered(err)
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ended || f.it.state != inFlight || f.it.attempt != f.attempt {
		return
	}
	now := time.Now()
	r.lease.lastOutcome = now
	if err == nil || permanent || refused {
		r.lease.lastAnswer = now
	}
	switch {
	case err == nil:
		r.counts.sent++
		r.w.acknowledge(f.it, now)
	case permanent:
		r.counts.failed++
		r.w.reject(f.it, err, "")
	case refused:
		r.counts.failed++
		r.refuse(f.it, ref, err, now)
	default:
		r.counts.failed++
		r.w.fail(f.it, fails, now)
		if c := f.it.lane.closed; fails.unanswered && c.unanswered {
			r.checkDue = true // a Flush may have nothing else to wait for
			r.reports.refused(f.it.lane.closedKey(), now)
		}
	}
	r.wake()
}

// refuse records that the broker refused an item.
func (r *Relay) refuse(it *item, ref Refusal, err error, now time.Time) {
	l := it.lane
	k := ClosedKey{
		Key: l.key, Topic: short(it.entry.Topic), ID: short(it.entry.ID), Seq: it.seq, Since: now, Attempts: 1,
		Err: err, Reason: ref.Reason,
	}
	if last := r.w.refused(it, ref, err, now); last != nil {
		r.w.reject(it, last, ref.Reason)
	} else {
		r.w.fail(it, failure{err: err, reason: ref.Reason}, now)
		if l.closed.seq == it.seq {
			k = l.closedKey()
		}
	}
	r.refusal = k
	r.checkDue = true // a Flush may have nothing else to wait for
	r.reports.refused(k, now)
}
