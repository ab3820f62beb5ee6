package request

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/logsafe"
)

// workerTime is for how long a reply holds the worker of its handler: nearly all are
// acknowledged by then, and those that are not hold up nobody else's messages.
const workerTime = 50 * time.Millisecond

// maxWaitingBytes of replies wait without a worker. What comes beyond that keeps its
// own, so that nobody fills the memory with replies that do not go out.
const maxWaitingBytes = 16 << 20

// leastTime is for how long a reply is tried that hardly anybody waits for any
// more: as long as it takes to find out that it is what ends connections.
const leastTime = 3 * time.Second

// Time returns how long the one attempt at a reply may take: as long as the requester
// waits, 0 is not known, but for a moment that is needed at least.
func Time(limit, expiry time.Duration) time.Duration {
	if expiry > 0 {
		return min(limit, max(expiry, leastTime))
	}
	return limit
}

// Replies are our answers to the requests of others: what each requester still may
// have, what is under way, and what was dropped. The zero value is ready; it is safe for
// concurrent use.
type Replies struct {
	requesters requesters
	attempts   attempts
	waiting    atomic.Int64 // bytes of replies that are under way

	dropped atomic.Int64
	told    atomic.Int64 // of dropped, by the log
	line    logsafe.PerMinute
}

// Run runs an attempt at a reply. It returns its error; where that takes long, await is
// told how to ask for the end, and the error is nil: a done that returns false keeps the
// request from being acknowledged.
func (r *Replies) Run(attempt func() error, await func(done func() bool)) error {
	sent := make(chan error, 1)
	r.attempts.start(func() { sent <- attempt() })
	wait := time.NewTimer(workerTime)
	defer wait.Stop()
	select {
	case err := <-sent:
		return err
	case <-wait.C:
	}
	if r.waiting.Load() > maxWaitingBytes {
		return <-sent
	}
	await(func() bool {
		select {
		case err := <-sent:
			if err != nil {
				sent <- err // we stop, and what is not done is not acknowledged
			}
			return err == nil
		default:
			return false
		}
	})
	return nil
}

// Send sends a reply of so many bytes within the share of its requester, who gets none
// for a while when it ended connections. Beyond the share the error is a QUOTA_EXCEEDED.
func (r *Replies) Send(to Requester, response string, size int, l *Limits, send func() error) error {
	if err := r.requesters.admitOf(to.key, to.origin, size, l, time.Now()); err != nil {
		return &event.Error{Op: OpReply, Topic: logsafe.Clip(response), Reason: event.ReasonQuota, Cause: err}
	}
	r.waiting.Add(int64(size))
	defer r.waiting.Add(-int64(size))
	err := send()
	if e, ok := errors.AsType[*event.Error](err); ok && e.Convicted && e.HeldFor == 0 {
		bar := r.requesters.barred(to.key, l, time.Now())
		e.Cause = fmt.Errorf("its requester gets no reply for %v: %w", bar, e.Cause)
	}
	return err
}

// Drop counts a reply that its requester does not get, and logs it once a minute.
func (r *Replies) Drop(log logsafe.Logger, operation, topic string, err error) {
	n := r.dropped.Add(1)
	if r.line.Due(time.Now()) {
		log.Warnf("mqtt: %s: the reply to a request on topic %q was dropped, %d since the last such line, at most one a minute: %v",
			operation, logsafe.Clip(topic), n-r.told.Swap(n), err)
	}
}

// Dropped returns how many replies were dropped.
func (r *Replies) Dropped() int64 { return r.dropped.Load() }

// Wait returns when no attempt is under way, or ctx ends.
func (r *Replies) Wait(ctx context.Context) { r.attempts.wait(ctx) }
