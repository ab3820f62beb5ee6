package client

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/envelope"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/logsafe"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/request"
)

// Send publishes the reply: body, in the codec of the request when its content type
// names one, or failure, as a status. A body that cannot be sent is a failure, too.
// It makes one attempt; the request is done after that. What cannot be delivered is
// counted and told, and is no error: the request has been handled. It returns an error
// only when the client stops: the request is delivered again then, and may be answered.
func (a *Answer) Send(ctx context.Context, body any, header []UserProperty, failure error) error {
	status := a.status(failure)
	if a.refused == nil {
		return a.of.lasting.replies.Run(func() error { return a.attempt(ctx, body, header, status) }, a.event.Await)
	}
	a.dropped(a.refused)
	return nil
}

// attempt sends the reply. The error is that of a client that stops.
func (a *Answer) attempt(ctx context.Context, body any, header []UserProperty, status *event.StatusError) error {
	err := a.send(ctx, body, header, status)
	if e, ok := errors.AsType[*event.Error](err); ok && e.Reason == event.ReasonClosed {
		return err
	}
	if err != nil {
		a.dropped(err)
	}
	return nil
}

// status is a failure as the requester may know it; the log of the service has it
// in full when that is less.
func (a *Answer) status(failure error) *event.StatusError {
	if failure == nil {
		return nil
	}
	k, hidden := request.ForRequester(failure)
	if r := a.of; hidden && r.hidden.Due(time.Now()) {
		r.lasting.Client().log.Errorf("mqtt: %s failed, and its requester receives an internal error, because this error is not a Kratos error (logged once a minute): %v",
			r.own.Operation, logsafe.Error(failure))
	}
	return k
}

func (a *Answer) send(ctx context.Context, body any, header []UserProperty, status *event.StatusError) error {
	c := a.of.lasting.Client()
	// An attempt whose time is up still has an answer to give.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), a.time(c))
	defer cancel()
	publish := func(body any, codec envelope.Codec, header []UserProperty) error {
		m := &Outgoing{
			Message: Message{Topic: a.topic, QoS: a.of.own.QoS}, Body: body, Codec: codec,
			Direct: true, Transmit: a.transmit,
		}
		m.Props().CorrelationData, m.Props().User = a.correlation, header
		return c.publisher.publish(ctx, m)
	}
	if status == nil {
		err := publish(body, c.envelope.CodecFor(a.codec(), a.event.ContentType(), body), header)
		if !unsendable(err) {
			return err
		}
		if a.of.unsent.Due(time.Now()) {
			c.log.Errorf("mqtt: %s: the reply cannot be sent (said once a minute): %v", a.of.own.Operation, logsafe.Error(err))
		}
		status, header = request.Unsendable(), nil
	}
	return publish([]byte{}, nil, append(slices.Clone(header), request.StatusOf(status)...))
}

// time is how long the one attempt may take.
func (a *Answer) time(c *Client) time.Duration {
	var expiry time.Duration
	if p := a.event.Properties; p != nil {
		expiry = p.Expiry
	}
	return request.Time(c.timeout, expiry)
}

// transmit sends the reply within the share of its requester.
func (a *Answer) transmit(ctx context.Context, m *Outgoing) error {
	c := a.of.lasting.Client()
	return a.of.lasting.replies.Send(a.requester, a.topic, m.Size(), &c.replies.Limits, func() error {
		return ErrorOf(request.OpReply, m.Topic, c.Answer(ctx, &m.Message))
	})
}

// unsendable reports whether no attempt at publishing can succeed.
func unsendable(err error) bool {
	var e *event.Error
	return errors.As(err, &e) && (e.Reason == event.ReasonCodec || e.Reason == event.ReasonTooLarge || e.Reason == event.ReasonBadRequest)
}

// codec is that of the subscription; nil without one.
func (a *Answer) codec() envelope.Codec {
	if sub := a.event.Subscription(); sub != nil && sub.Typed != nil {
		return sub.Typed.Codec
	}
	return nil
}
