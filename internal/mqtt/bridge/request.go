package bridge

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"
	"github.com/tx7do/kratos-transport/broker"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/client"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/logsafe"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/request"
)

const opRequest = "request"

// Request publishes a request at QoS 1 and waits for the reply: within ctx's
// deadline or the timeout option's, else for 10 s. The request names a topic of
// this process, inbox/<client id>/<random UUID> unless the option says otherwise,
// which is subscribed to when first used, on a connection that is there for
// replies only.
//
// MQTT 5 has a response topic and correlation data; on 3.1.1 they travel as
// attributes of the CloudEvents carrier, and without it the error's reason is
// UNSUPPORTED. The body of the reply is its bytes, or what the binder option
// made. An error of the replier is a Kratos error with its code and reason;
// without a reply in time the reason is TIMEOUT, and the request may have been
// carried out.
func (b *Broker) Request(ctx context.Context, topic string, msg *broker.Message, opts ...broker.RequestOption) (*broker.Message, error) {
	if err := checkPublish(ctx, opRequest, topic, msg); err != nil {
		return nil, err
	}
	s := b.state()
	if s.err != nil {
		return nil, s.err
	}
	o, own := readRequestOptions(opts)
	if _, ok := ctx.Deadline(); !ok && o.Timeout <= 0 {
		o.Timeout = requestTimeout
	}
	limits := publishCall{generic: broker.PublishOptions{Context: o.Context, Timeout: o.Timeout}}
	ctx, cancel := limits.bound(ctx)
	defer cancel()
	e, err := s.exchange(ctx, topic, msg, &o)
	if err != nil {
		return nil, err
	}
	return s.result(topic, e, &o, &own)
}

// exchange publishes a request and waits for the event that replies to it.
func (s *state) exchange(ctx context.Context, topic string, msg *broker.Message, o *broker.RequestOptions) (*Event, error) {
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
	inbox, err := s.client.OpenInbox(ctx, o.ReplyTopic)
	if err != nil {
		return nil, client.ErrorOf(opRequest, o.ReplyTopic, err)
	}
	defer inbox.Close()
	id := uuid.New()
	reply, err := q.Expect(topic, string(id[:]))
	if err != nil {
		return nil, err
	}
	defer q.Forget(string(id[:]))
	err = s.publish(ctx, topic, msg, broker.WithPublishBodyCodec(o.BodyCodec), PublishOption(func(p *PublishSettings) {
		p.ResponseTopic, p.Correlation, p.Direct = inbox.Topic, id[:], true
		if deadline, ok := ctx.Deadline(); ok && version == client.Version5 {
			p.Expiry = max(time.Until(deadline), 1) // nobody waits for the reply any more
		}
	}))
	if err != nil {
		return nil, err
	}
	select {
	case e := <-reply:
		return e, nil
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

// result returns the reply, or the error that it carries.
func (s *state) result(topic string, e *Event, o *broker.RequestOptions, own *RequestSettings) (*broker.Message, error) {
	if err := request.FailureIn(e.Header()); err != nil {
		return nil, err
	}
	if own.Binder == nil {
		e.msg.Body = e.Data()
		return &e.msg, nil
	}
	codec, err := s.envelope.Named(o.BodyCodec)
	if err == nil {
		err = e.Decode(codec, own.Binder())
	}
	if err != nil {
		return nil, codecError(opRequest, topic, logsafe.Error(err))
	}
	e.msg.Body = e.Body
	return &e.msg, nil
}

// replied takes what arrives on a topic for replies. It runs on the read loop of
// their connection, and waits for nothing.
func (b *Broker) replied(d *client.Delivery) {
	s := b.state()
	err := s.envelope.Open(&d.Event, d.Letters())
	e := newEvent(d)
	_, correlation := e.Reply()
	if err != nil {
		correlation = nil // nobody waits for that
	}
	if b.requests.Answer(correlation, e) == 1 {
		s.log.Warnf("mqtt: a reply came too late, or answers no request of ours: topic %q; such replies are counted", clip(d.Topic))
	}
}
