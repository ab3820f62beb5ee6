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

// workerTime is how long a reply occupies the worker of its handler. Nearly all replies
// are acknowledged within it; slower ones then release the worker for other messages.
const workerTime = 50 * time.Millisecond

// maxWaitingBytes bounds the replies that wait without a worker. Beyond it replies keep
// their worker, so that replies that cannot be sent do not exhaust memory.
const maxWaitingBytes = 16 << 20

// leastTime is the minimum time for an attempt at a reply, even if its request has nearly
// expired: it suffices to notice that the reply makes the broker end the connection.
const leastTime = 3 * time.Second

// Time returns how long the one attempt at a reply may take: expiry, which is how long the
// requester waits, but at least leastTime and at most limit. An expiry of 0 means that it
// is not known; the result is then limit.
func Time(limit, expiry time.Duration) time.Duration {
	if expiry > 0 {
		return min(limit, max(expiry, leastTime))
	}
	return limit
}

// Replies has the replies to requests: the share that each requester has left, the
// attempts in progress, and the number of dropped replies. The zero value is ready to use;
// it is safe for concurrent use.
type Replies struct {
	requesters requesters
	attempts   attempts
	waiting    atomic.Int64 // bytes of replies in progress

	dropped atomic.Int64
}

// Run runs an attempt at a reply and returns its error. If the attempt takes long, Run
// passes to await a function that reports whether it has ended, and returns nil: while
// done returns false the request is not acknowledged. An attempt that ends its goroutine
// (runtime.Goexit) has no error. It must not panic.
func (r *Replies) Run(attempt func() error, await func(done func() bool)) error {
	sent := make(chan error, 1)
	r.attempts.start(func() {
		var err error
		defer func() { sent <- err }()
		err = attempt()
	})
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

// Send sends a reply of size bytes within the share of its requester. A requester whose
// replies ended connections receives no replies for a while. Beyond the share the error is
// QUOTA_EXCEEDED.
func (r *Replies) Send(to Requester, response string, size int, l *Limits, send func() error) error {
	if err := r.requesters.admitOf(to.key, to.origin, size, l, time.Now()); err != nil {
		return &event.Error{Op: OpReply, Topic: logsafe.Clip(response), Reason: event.ReasonQuota, Cause: err}
	}
	r.waiting.Add(int64(size))
	defer r.waiting.Add(-int64(size))
	err := send()
	if e, ok := errors.AsType[*event.Error](err); ok && e.Convicted && e.RetryAfter == 0 {
		bar := r.requesters.barred(to.key, l, time.Now())
		e.Cause = fmt.Errorf("its requester gets no reply for %v: %w", bar, e.Cause)
	}
	return err
}

// Drop counts a reply that is not sent, and logs dropped replies once a minute.
func (r *Replies) Drop(log logsafe.Log, operation, topic string, err error) {
	r.dropped.Add(1)
	log.Seldom("dropped replies", func(more []any) {
		log.Warn("mqtt: the reply to a request was dropped", append(more,
			logsafe.KeyOperation, operation, logsafe.KeyTopic, topic, logsafe.KeyTotal, r.dropped.Load(), logsafe.KeyError, err)...)
	})
}

// Dropped returns how many replies were dropped.
func (r *Replies) Dropped() int64 { return r.dropped.Load() }

// Wait returns when no attempt is under way, or ctx ends.
func (r *Replies) Wait(ctx context.Context) { r.attempts.wait(ctx) }
