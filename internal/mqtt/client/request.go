package client

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/google/uuid"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/envelope"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/logsafe"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/request"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/session"
)

const opRequest = "request"

// requester sends requests and waits for their replies. It does not change.
type requester struct {
	log      logsafe.Log
	settings *envelope.Settings
	publish  func(ctx context.Context, m *Outgoing) error
	within   func() time.Duration // the time limit of a publish that goes on after its reply
	pending  *request.Pending[*Delivery]
	protocol func(ctx context.Context) (session.Protocol, error)          // of the broker; waits for a connection
	inbox    func(ctx context.Context, replyTopic string) (*Inbox, error) // for one reply
}

func newRequester(c *Client) requester {
	return requester{
		log: c.log, settings: c.envelope, publish: c.through, within: c.publisher.limit, pending: c.lasting.requests,
		protocol: c.Protocol, inbox: c.openInbox,
	}
}

// Request publishes a request and waits within ctx for the reply, whose body is not
// decoded. The reply topic is replyTopic, or, if that is "", a topic of this process:
// inbox/<client id>/<random UUID>. It is subscribed to when first used, on a connection
// that is used for replies only.
//
// MQTT 5 has a response topic and correlation data. On 3.1.1 they are attributes of the
// CloudEvents carrier; without it the error's reason is UNSUPPORTED. An error of the
// replier is an [event.StatusError] with its code and reason. Without a reply in time the
// reason is TIMEOUT, and the request may have been carried out.
func (q *requester) Request(ctx context.Context, m *Outgoing, replyTopic string) (*Delivery, error) {
	d, err := q.exchange(ctx, m, replyTopic)
	if err == nil {
		err = request.FailureIn(d.Header())
	}
	if err != nil {
		return nil, err
	}
	return d, nil
}

// exchange publishes a request and waits for its reply.
func (q *requester) exchange(ctx context.Context, m *Outgoing, replyTopic string) (*Delivery, error) {
	topic := m.Topic
	if !m.Due.IsZero() {
		return nil, BadRequest(opRequest, topic, "a request cannot be delayed")
	}
	version, err := q.protocol(ctx)
	if err != nil {
		return nil, ErrorOf(opRequest, topic, err)
	}
	if version == Version31 && q.settings.Source == "" {
		return nil, &event.Error{
			Op: opRequest, Topic: logsafe.Clip(topic), Reason: event.ReasonUnsupported,
			Cause: errors.New("MQTT 3.1.1 has no response topic: it takes the CloudEvents carrier, or MQTT 5"),
		}
	}
	inbox, err := q.inbox(ctx, replyTopic)
	if err != nil {
		return nil, ErrorOf(opRequest, replyTopic, err)
	}
	defer inbox.Close()
	id := uuid.New()
	reply, err := q.pending.Expect(topic, string(id[:]))
	if err != nil {
		return nil, err
	}
	defer q.pending.Forget(string(id[:]))
	p := m.Props()
	p.ResponseTopic, p.CorrelationData, m.SkipOutbox = inbox.Topic, id[:], true
	if deadline, ok := ctx.Deadline(); ok && version == Version5 {
		if left := max(time.Until(deadline), 1); p.Expiry == 0 || p.Expiry > left { // after that nothing waits for the reply
			p.Expiry = left
		}
	}
	if d, err := q.ask(ctx, m, reply); d != nil || err != nil {
		return d, err
	}
	select {
	case d := <-reply:
		return d, nil
	case <-ctx.Done():
		return nil, &event.Error{
			Op: opRequest, Topic: topic, Reason: ReasonOfContext(ctx.Err()), MayHaveBeenSent: true,
			Cause: errors.Join(noReply(inbox), ctx.Err()),
		}
	case <-inbox.Ended():
		return nil, &event.Error{
			Op: opRequest, Topic: topic, Reason: event.ReasonClosed, MayHaveBeenSent: true,
			Cause: errors.New("no reply before the client stopped"),
		}
	}
}

// ask publishes a request. It returns the reply if that arrives before the request is
// acknowledged: the publish then goes on, and Stop waits for it.
func (q *requester) ask(ctx context.Context, m *Outgoing, reply <-chan *Delivery) (*Delivery, error) {
	topic := m.Topic // m may belong to the publish longer than to us
	var err error
	sending := q.pending.Send(ctx, func(ctx context.Context) (err error) {
		defer func() {
			if v := recover(); v != nil {
				q.log.Panic("mqtt: the publish of a request panicked", debug.Stack(), logsafe.KeyPanic, fmt.Sprint(v))
				err = &event.Error{Op: opRequest, Topic: logsafe.Clip(topic), MayHaveBeenSent: true, Cause: errors.New("its publish panicked")}
			}
		}()
		return q.publish(ctx, m)
	})
	select {
	case d := <-reply:
		sending.Release(q.within())
		return d, nil
	case err = <-sending.Outcome():
	case <-ctx.Done():
		sending.End(ctx.Err())
		err = <-sending.Outcome()
	}
	if e, ok := errors.AsType[*event.Error](err); ok && e.MayHaveBeenSent {
		select {
		case d := <-reply: // the request arrived, although nothing acknowledged it in time
			return d, nil
		default:
		}
	}
	return nil, err
}

func noReply(inbox *Inbox) error {
	if inbox.Lost() {
		return errors.New("no reply, and the connection that it comes on was lost meanwhile: a reply that was sent then is gone")
	}
	return errors.New("no reply")
}

// replied processes a message on a reply topic. It runs on the read loop of the connection
// and must not wait.
func (q *requester) replied(d *Delivery) {
	err := q.settings.Open(&d.Event, d.Letters())
	_, correlation := d.Reply()
	if err != nil {
		correlation = nil // matches no request
	}
	if q.pending.Answer(correlation, d) == 1 {
		q.log.Warn("mqtt: a reply came too late, or answers no request of ours; such replies are counted: logged once", logsafe.KeyTopic, d.Topic)
	}
}
