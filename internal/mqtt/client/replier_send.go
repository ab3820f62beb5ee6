package client

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/delivery"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/envelope"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/logsafe"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/request"
)

// Send publishes the reply, with the codec of the request if its content type names one:
// body, or failure as a status. A body that cannot be encoded is sent as a failure. Send
// makes one attempt, after which the request is done. A reply that cannot be delivered is
// counted and reported but is not an error, because the request has been handled. Send
// returns an error only when the client stops: then the request is delivered again, and may
// be answered.
func (a *Answer) Send(ctx context.Context, body any, header []UserProperty, failure error) error {
	status := a.status(failure)
	if a.refused == nil {
		return a.of.lasting.replies.Run(func() error { return a.attempt(ctx, body, header, status) }, a.event.Await)
	}
	a.dropped(a.refused)
	return nil
}

// attempt sends the reply. It returns an error only when the client stops. A reply whose
// publish middleware panics or ends the goroutine is dropped.
func (a *Answer) attempt(ctx context.Context, body any, header []UserProperty, status *event.StatusError) (stopped error) {
	err := errMiddlewareExit // remains if a middleware does not return
	defer func() {
		if e, ok := errors.AsType[*event.Error](err); ok && e.Reason == event.ReasonClosed {
			stopped = err
		} else if err != nil {
			a.dropped(err)
		}
	}()
	err = delivery.Guard(func() error { return a.send(ctx, body, header, status) })
	if p, ok := errors.AsType[*delivery.PanicError](err); ok {
		a.of.lasting.Client().calls.panicked("mqtt: a publish middleware panicked", p.Value, p.Stack)
		err = fmt.Errorf("a publish middleware panicked: %v", p.Value)
	}
	return nil
}

var errMiddlewareExit = errors.New("a publish middleware ended its goroutine")

// status returns the part of a failure that the requester may see. If that is not all, the
// rest is logged.
func (a *Answer) status(failure error) *event.StatusError {
	if failure == nil {
		return nil
	}
	k, hidden := request.ForRequester(failure)
	if log := a.of.lasting.Client().log; hidden {
		log.Seldom("hidden error of "+a.of.own.Operation, func(more []any) {
			log.Error("mqtt: a handler failed, and its requester receives an internal error, because this error is not a Kratos error",
				append(more, logsafe.KeyOperation, a.of.own.Operation, logsafe.KeyError, logsafe.Error(failure))...)
		})
	}
	return k
}

func (a *Answer) send(ctx context.Context, body any, header []UserProperty, status *event.StatusError) error {
	c := a.of.lasting.Client()
	// A handler whose time is up still has to answer.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), a.time(c))
	defer cancel()
	publish := func(body any, codec envelope.Codec, header []UserProperty) error {
		m := &Outgoing{
			Message: Message{Topic: a.topic, QoS: a.of.own.QoS}, Body: body, Codec: codec,
			SkipOutbox: true, Transmit: a.transmit,
		}
		m.Props().CorrelationData, m.Props().User = a.correlation, header
		return c.through(ctx, m)
	}
	if status == nil {
		err := publish(body, c.envelope.CodecFor(a.codec(), a.event.ContentType(), body), header)
		if !unsendable(err) {
			return err
		}
		c.log.Seldom("unsent reply of "+a.of.own.Operation, func(more []any) {
			c.log.Error("mqtt: the reply cannot be sent", append(more, logsafe.KeyOperation, a.of.own.Operation, logsafe.KeyError, logsafe.Error(err))...)
		})
		status, header = request.Unsendable(), nil
	}
	return publish([]byte{}, nil, append(slices.Clone(header), request.StatusOf(status)...))
}

// time returns how long the attempt may take.
func (a *Answer) time(c *Client) time.Duration {
	var expiry time.Duration
	if p := a.event.Properties; p != nil {
		expiry = p.Expiry
	}
	return request.Time(c.limit(), expiry)
}

// transmit sends the reply within its requester's share.
func (a *Answer) transmit(ctx context.Context, m *Outgoing) error {
	c := a.of.lasting.Client()
	return a.of.lasting.replies.Send(a.requester, a.topic, m.Size(), &c.replies.Limits, func() error {
		return ErrorOf(request.OpReply, m.Topic, c.answer(ctx, &m.Message))
	})
}

// unsendable reports whether no attempt at publishing can succeed.
func unsendable(err error) bool {
	var e *event.Error
	return errors.As(err, &e) && (e.Reason == event.ReasonCodec || e.Reason == event.ReasonTooLarge || e.Reason == event.ReasonBadRequest)
}

// codec returns the codec of the subscription, or nil without one.
func (a *Answer) codec() envelope.Codec {
	if sub := a.event.Subscription(); sub != nil && sub.Typed != nil {
		return sub.Typed.Codec
	}
	return nil
}
