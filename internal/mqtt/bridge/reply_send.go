package bridge

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/tx7do/kratos-transport/broker"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/client"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/logsafe"
)

// leastReplyTime is for how long a reply is tried that hardly anybody waits for any
// more: as long as it takes to find out that it is what ends connections.
const leastReplyTime = 3 * time.Second

// workerTime is for how long a reply holds the worker of its handler: nearly all are
// acknowledged by then, and those that are not hold up nobody else's messages.
const workerTime = 50 * time.Millisecond

// maxWaitingBytes of replies wait without a worker. What comes beyond that keeps its
// own, so that nobody fills the memory with replies that do not go out.
const maxWaitingBytes = 16 << 20

// Send publishes the reply: body, in the codec of the request when its content type
// names one, or failure, as a status. A body that cannot be sent is a failure, too.
// It makes one attempt; the request is done after that. What cannot be delivered is
// counted and told, and is no error: the request has been handled. It returns an error
// only when the client stops: the request is delivered again then, and may be answered.
func (a *Answer) Send(ctx context.Context, body any, header []client.UserProperty, failure error) error {
	status := a.status(failure)
	if a.refused != nil {
		a.of.broker.state().replyDropped(a, a.refused)
		return nil
	}
	sent := make(chan error, 1)
	a.of.broker.replies.attempts.start(func() { sent <- a.attempt(ctx, body, header, status) })
	wait := time.NewTimer(workerTime)
	defer wait.Stop()
	select {
	case err := <-sent:
		return err
	case <-wait.C:
	}
	if a.of.broker.replies.waiting.Load() > maxWaitingBytes {
		return <-sent
	}
	a.event.delivery.Await(func() bool {
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

// attempt sends the reply. The error is that of a client that stops.
func (a *Answer) attempt(ctx context.Context, body any, header []client.UserProperty, status *event.StatusError) error {
	err := a.send(ctx, body, header, status)
	if e, ok := errors.AsType[*event.Error](err); ok && e.Reason == event.ReasonClosed {
		return err
	}
	if err != nil {
		a.of.broker.state().replyDropped(a, err)
	}
	return nil
}

// status is a failure as the requester may know it; the log of the service has it
// in full when that is less.
func (a *Answer) status(failure error) *event.StatusError {
	if failure == nil {
		return nil
	}
	k, hidden := forRequester(failure)
	if r := a.of; hidden && r.hidden.Due(time.Now()) {
		r.broker.state().log.Errorf("mqtt: %s failed, and its requester is told of an internal error, because this is no Kratos error (logged once a minute): %v",
			r.own.Operation, logsafe.Error(failure))
	}
	return k
}

func (a *Answer) send(ctx context.Context, body any, header []client.UserProperty, status *event.StatusError) error {
	s := a.of.broker.state()
	// An attempt whose time is up still has an answer to give.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), a.time(s))
	defer cancel()
	publish := func(own PublishSettings, body any) error {
		own.QoS, own.Correlation, own.answer, own.Direct = a.of.own.QoS, a.correlation, a, true
		return s.publish(ctx, a.topic, broker.NewMessage(body), PublishOption(func(p *PublishSettings) { *p = own }))
	}
	if status == nil {
		err := publish(PublishSettings{User: header, codec: s.envelope.CodecFor(a.event.codec, a.event.ContentType(), body)}, body)
		if !unsendable(err) {
			return err
		}
		if a.of.unsent.Due(time.Now()) {
			s.log.Errorf("mqtt: %s: the reply cannot be sent (said once a minute): %v", a.of.own.Operation, logsafe.Error(err))
		}
		status, header = &event.StatusError{
			Code: http.StatusInternalServerError, Reason: reasonBadReply, Message: "the reply cannot be sent",
		}, nil
	}
	return publish(PublishSettings{User: append(slices.Clone(header), statusOf(status)...), noCodec: true}, []byte{})
}

// time is how long the one attempt may take: as long as the requester waits, but
// for a moment that is needed at least.
func (a *Answer) time(s *state) time.Duration {
	limit := s.timeout()
	if p := a.event.delivery.Properties; p != nil && p.Expiry > 0 {
		limit = min(limit, max(p.Expiry, leastReplyTime))
	}
	return limit
}

// transmit sends the reply within the share of its requester, who gets none for a
// while when it ended connections.
func (a *Answer) transmit(ctx context.Context, m *Message) error {
	s, replies := a.of.broker.state(), &a.of.broker.replies
	if err := replies.admitOf(a.requester, a.origin, m.Size(), &s.replyLimits, time.Now()); err != nil {
		return overLimit(a.topic, err)
	}
	size := int64(m.Size())
	replies.waiting.Add(size)
	defer replies.waiting.Add(-size)
	err := client.ErrorOf(opReply, m.Topic, s.client.Answer(ctx, &m.Message))
	if e, ok := errors.AsType[*event.Error](err); ok && e.Convicted && e.HeldFor == 0 {
		bar := replies.barred(a.requester, &s.replyLimits, time.Now())
		e.Cause = fmt.Errorf("its requester gets no reply for %v: %w", bar, e.Cause)
	}
	return err
}

// unsendable reports whether no attempt at publishing can succeed.
func unsendable(err error) bool {
	var e *event.Error
	return errors.As(err, &e) && (e.Reason == event.ReasonCodec || e.Reason == event.ReasonTooLarge || e.Reason == event.ReasonBadRequest)
}
