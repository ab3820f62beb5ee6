package bridge

import (
	"context"
	"fmt"
	"math"

	"github.com/cenkalti/backoff/v5"
	"github.com/tx7do/kratos-transport/broker"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/internal/engine"
)

// PublishSettings are what the MQTT publish options change.
type PublishSettings struct {
	QoS    byte
	Retain bool
}

type publishKey struct{}

// PublishOption makes a kratos-transport option of a change to one publish.
func PublishOption(set func(*PublishSettings)) broker.PublishOption {
	return func(o *broker.PublishOptions) {
		if o == nil {
			return
		}
		ctx := o.Context
		if ctx == nil {
			ctx = context.Background()
		}
		list, _ := ctx.Value(publishKey{}).([]func(*PublishSettings))
		o.Context = context.WithValue(ctx, publishKey{}, append(list[:len(list):len(list)], set))
	}
}

// defaultQoS is at least once, as in kratos-transport.
const defaultQoS = 1

// acksUnset tells an explicit RequiredAcks of 0 from none.
const acksUnset = math.MinInt

// Publish encodes and sends a message. It returns nil only when the broker has
// acknowledged it (QoS 1, the default, and 2) or the bytes were handed to a
// live connection (QoS 0); with the async option it returns once the message
// is accepted into the in-flight window, and the callback is told the outcome.
func (b *Broker) Publish(ctx context.Context, topic string, msg *broker.Message, opts ...broker.PublishOption) error {
	if ctx == nil {
		return badRequest("publish", topic, "context is nil")
	}
	if msg == nil {
		return badRequest("publish", topic, "message is nil")
	}
	return broker.ChainPublishMiddleware(b.publish, b.Options().PublishMiddlewares)(ctx, topic, msg, opts...)
}

func (b *Broker) publish(ctx context.Context, topic string, msg *broker.Message, opts ...broker.PublishOption) error {
	client, err := b.Client()
	if err != nil {
		return err
	}
	o := broker.PublishOptions{Context: context.Background(), RequiredAcks: acksUnset}
	o.Apply(opts...)
	m, err := b.message(topic, msg, &o)
	if err != nil {
		return err
	}
	if o.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, o.Timeout)
		defer cancel()
	}
	ctx, end := b.tracer.send(ctx, m)
	if o.Async {
		return public(client.PublishAsync(ctx, m, func(err error) {
			err = public(err)
			end(err)
			if o.Callback != nil {
				o.Callback(err)
			}
		}))
	}
	err = retry(ctx, o.Retries, func() error { return public(client.Publish(ctx, m)) })
	end(err)
	if o.Callback != nil {
		o.Callback(err)
	}
	return err
}

func (b *Broker) message(topic string, msg *broker.Message, o *broker.PublishOptions) (*engine.Message, error) {
	if msg == nil {
		return nil, badRequest("publish", topic, "message is nil")
	}
	if msg.Body == nil {
		return nil, badRequest("publish", topic, "message body is nil")
	}
	codec, err := b.codecs().named(o.BodyCodec)
	if err != nil {
		return nil, codecError("publish", topic, err)
	}
	payload, err := marshal(codec, msg.Body)
	if err != nil {
		return nil, codecError("publish", topic, err)
	}
	qos, err := requiredQoS(topic, o.RequiredAcks)
	if err != nil {
		return nil, err
	}
	s := PublishSettings{QoS: qos}
	if o.Context != nil {
		list, _ := o.Context.Value(publishKey{}).([]func(*PublishSettings))
		for _, set := range list {
			set(&s)
		}
	}
	if len(msg.Headers) > 0 {
		b.headers.lost(b.logger(), topic)
	}
	return &engine.Message{Topic: topic, Payload: payload, QoS: s.QoS, Retain: s.Retain}, nil
}

// requiredQoS reads the generic number of acknowledgements as a QoS; -1, all
// of them, is at least once.
func requiredQoS(topic string, acks int) (byte, error) {
	switch acks {
	case acksUnset, -1:
		return defaultQoS, nil
	case 0, 1, 2:
		return byte(acks), nil
	}
	return 0, badRequest("publish", topic, fmt.Sprintf("%d required acknowledgements, want -1, 0, 1 or 2", acks))
}

// retry tries again what may work later, within ctx.
func retry(ctx context.Context, retries int, publish func() error) error {
	if retries <= 0 {
		return publish()
	}
	_, err := backoff.Retry(ctx, func() (struct{}, error) {
		err := publish()
		if err != nil && !retryable(err) {
			err = backoff.Permanent(err)
		}
		return struct{}{}, err
	}, backoff.WithMaxTries(uint(retries)+1), backoff.WithMaxElapsedTime(0))
	return err
}

func retryable(err error) bool {
	switch reasonOf(err) {
	case event.ReasonNotConnected, event.ReasonNetwork, event.ReasonTimeout, event.ReasonSessionLost, event.ReasonQuota:
		return true
	}
	return false
}
