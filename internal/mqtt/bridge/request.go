package bridge

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/client"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/request"
)

const opRequest = "request"

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
func (b *Broker) Request(ctx context.Context, m *Message, replyTopic string) (*client.Delivery, error) {
	s := b.state()
	if s.err != nil {
		return nil, s.err
	}
	d, err := s.exchange(ctx, m, replyTopic)
	if err == nil {
		err = request.FailureIn(d.Header())
	}
	if err != nil {
		return nil, err
	}
	return d, nil
}

// exchange publishes a request and waits for what replies to it.
func (s *state) exchange(ctx context.Context, m *Message, replyTopic string) (*client.Delivery, error) {
	topic := m.Topic
	q := s.broker.requests
	version, err := s.client.Protocol(ctx)
	if err != nil {
		return nil, client.ErrorOf(opRequest, topic, err)
	}
	if version == client.Version31 && s.envelope.Source == "" {
		return nil, &event.Error{
			Op: opRequest, Topic: clip(topic), Reason: event.ReasonUnsupported,
			Cause: errors.New("MQTT 3.1.1 has no response topic: it takes the CloudEvents carrier, or MQTT 5"),
		}
	}
	inbox, err := s.client.OpenInbox(ctx, replyTopic)
	if err != nil {
		return nil, client.ErrorOf(opRequest, replyTopic, err)
	}
	defer inbox.Close()
	id := uuid.New()
	reply, err := q.Expect(topic, string(id[:]))
	if err != nil {
		return nil, err
	}
	defer q.Forget(string(id[:]))
	p := m.Props()
	p.ResponseTopic, p.CorrelationData, m.Direct = inbox.Topic, id[:], true
	if deadline, ok := ctx.Deadline(); ok && version == client.Version5 {
		p.Expiry = max(time.Until(deadline), 1) // nobody waits for the reply any more
	}
	if err := s.publish(ctx, m); err != nil {
		return nil, err
	}
	select {
	case d := <-reply:
		return d, nil
	case <-ctx.Done():
		return nil, &event.Error{
			Op: opRequest, Topic: topic, Reason: client.ReasonOfContext(ctx.Err()), MayHaveBeenSent: true,
			Cause: errors.Join(noReply(inbox), ctx.Err()),
		}
	case <-inbox.Ended():
		return nil, &event.Error{
			Op: opRequest, Topic: topic, Reason: event.ReasonClosed, MayHaveBeenSent: true,
			Cause: errors.New("no reply before the client stopped"),
		}
	}
}

func noReply(inbox *client.Inbox) error {
	if inbox.Lost() {
		return errors.New("no reply, and the connection that it comes on was lost meanwhile: a reply that was sent then is gone")
	}
	return errors.New("no reply")
}

// replied takes what arrives on a topic for replies. It runs on the read loop of
// their connection, and waits for nothing.
func (b *Broker) replied(d *client.Delivery) {
	s := b.state()
	err := s.envelope.Open(&d.Event, d.Letters())
	_, correlation := d.Reply()
	if err != nil {
		correlation = nil // nobody waits for that
	}
	if b.requests.Answer(correlation, d) == 1 {
		s.log.Warnf("mqtt: a reply came too late, or answers no request of ours: topic %q; such replies are counted", clip(d.Topic))
	}
}
