package client

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/logsafe"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/request"
)

const opRequest = "request"

// requester sends requests and waits for their replies.
type requester struct{ client *Client }

// Request publishes a request and waits, within ctx, for the reply, whose body is
// not decoded. The request names a topic of this process, inbox/<client id>/<random
// UUID> unless replyTopic is given, which is subscribed to when first used, on a
// connection that is there for replies only.
//
// MQTT 5 has a response topic and correlation data; on 3.1.1 they travel as
// attributes of the CloudEvents carrier, and without it the error's reason is
// UNSUPPORTED. An error of the replier is an [event.StatusError] with its code and
// reason; without a reply in time the reason is TIMEOUT, and the request may have been
// carried out.
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

// exchange publishes a request and waits for what replies to it.
func (q *requester) exchange(ctx context.Context, m *Outgoing, replyTopic string) (*Delivery, error) {
	c, topic := q.client, m.Topic
	version, err := c.Protocol(ctx)
	if err != nil {
		return nil, ErrorOf(opRequest, topic, err)
	}
	if version == Version31 && c.envelope.Source == "" {
		return nil, &event.Error{
			Op: opRequest, Topic: logsafe.Clip(topic), Reason: event.ReasonUnsupported,
			Cause: errors.New("MQTT 3.1.1 has no response topic: it takes the CloudEvents carrier, or MQTT 5"),
		}
	}
	inbox, err := c.OpenInbox(ctx, replyTopic)
	if err != nil {
		return nil, ErrorOf(opRequest, replyTopic, err)
	}
	defer inbox.Close()
	id := uuid.New()
	reply, err := c.lasting.requests.Expect(topic, string(id[:]))
	if err != nil {
		return nil, err
	}
	defer c.lasting.requests.Forget(string(id[:]))
	p := m.Props()
	p.ResponseTopic, p.CorrelationData, m.Direct = inbox.Topic, id[:], true
	if deadline, ok := ctx.Deadline(); ok && version == Version5 {
		p.Expiry = max(time.Until(deadline), 1) // nobody waits for the reply any more
	}
	if err := c.publisher.publish(ctx, m); err != nil {
		return nil, err
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

func noReply(inbox *Inbox) error {
	if inbox.Lost() {
		return errors.New("no reply, and the connection that it comes on was lost meanwhile: a reply that was sent then is gone")
	}
	return errors.New("no reply")
}

// replied takes what arrives on a topic for replies. It runs on the read loop of
// their connection, and waits for nothing.
func (q *requester) replied(d *Delivery) {
	c := q.client
	err := c.envelope.Open(&d.Event, d.Letters())
	_, correlation := d.Reply()
	if err != nil {
		correlation = nil // nobody waits for that
	}
	if c.lasting.requests.Answer(correlation, d) == 1 {
		c.log.Warnf("mqtt: a reply came too late, or answers no request of ours: topic %q; such replies are counted", logsafe.Clip(d.Topic))
	}
}
