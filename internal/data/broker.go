package data

import (
	"context"
	"time"

	"github.com/go-kratos/kratos/v2/errors"
	"github.com/go-kratos/kratos/v2/log"
	"github.com/tx7do/kratos-transport/broker"
	"go.opentelemetry.io/otel/trace"

	kratosmqttv1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/v1"
	reportv1 "github.com/kratos-mqtt/kratos-mqtt/api/report/v1"
	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/event/outbox"
	"github.com/kratos-mqtt/kratos-mqtt/internal/conf"
)

// Broker is the publishing side of the MQTT connection. Messages wait in the outbox
// until they are sent, and as long as this process is not subscribed; without an
// outbox Publish waits instead. Safe for concurrent use.
type Broker struct {
	broker.Broker
	store   outbox.Store // nil without an outbox
	hold    *Hold
	backlog *event.Backlog
}

// Observers see what happens to messages.
type Observers struct {
	Hooks []any                // see package event
	Spans trace.TracerProvider // nil makes no spans
}

// commitPoll is how often the table of the outbox is polled: nothing reports that the
// transaction of a message has committed.
const commitPoll = 200 * time.Millisecond

// directLimit is how long the broker may take to acknowledge a report that is not
// stored in an outbox.
const directLimit = 50 * time.Millisecond

func pollOf(driver string) time.Duration {
	if driver == conf.DriverSQL {
		return commitPoll
	}
	return 0 // the default: other stores report new messages
}

// NewBroker starts to connect and returns without waiting for the connection. The
// returned function waits for messages in flight, sends as much of the outbox as it
// can, and disconnects.
func NewBroker(connection *kratosmqttv1.Connection, c *conf.MQTT, store outbox.Store, hold *Hold, backlog *event.Backlog, observers Observers, logger log.Logger) (*Broker, func(), error) {
	opts := []broker.Option{mqttbroker.WithHooks(observers.Hooks...), mqttbroker.WithSentAt(true)}
	if observers.Spans != nil {
		opts = append(opts, broker.WithTracerProvider(observers.Spans))
	}
	if source := c.GetCloudEvents(); source != "" {
		opts = append(opts, mqttbroker.WithCloudEvents(source))
	}
	if store != nil {
		opts = append(opts, mqttbroker.WithOutbox(store,
			mqttbroker.OutboxSubscriptions(hold),
			mqttbroker.OutboxConfig(c.GetOutbox()),
			mqttbroker.OutboxSkipWhenEmpty(directLimit),
			mqttbroker.OutboxBacklog(backlog),
			mqttbroker.OutboxPollInterval(pollOf(c.OutboxDriver()))))
	}
	settings := &kratosmqttv1.Settings{Connection: connection, Publisher: c.GetPublisher()}
	b, cleanup, err := mqttbroker.Open(settings, nil, logger, opts...)
	if err != nil {
		return nil, nil, err
	}
	return &Broker{Broker: b, store: store, hold: hold, backlog: backlog}, cleanup, nil
}

// Publish implements broker.Broker.
func (b *Broker) Publish(ctx context.Context, topic string, msg *broker.Message, opts ...broker.PublishOption) error {
	if b.store != nil {
		err := b.Broker.Publish(ctx, topic, msg, opts...)
		if errors.Code(err) == 504 { // publishing does not wait for the broker
			return errors.GatewayTimeout(reportv1.ErrorReason_OUTBOX_FAILED.String(),
				"the outbox did not answer in time; the event may still arrive").WithCause(err)
		}
		return err
	}
	if err := b.hold.Wait(ctx); err != nil {
		return errors.ServiceUnavailable(reportv1.ErrorReason_NOT_READY.String(),
			"not yet subscribed at the broker; the event was not accepted").WithCause(err)
	}
	back, err := admit(b.backlog, topic, msg)
	if err != nil {
		return err
	}
	if err := b.Broker.Publish(ctx, topic, msg, opts...); err != nil {
		back()
		return err
	}
	return nil
}

// Reload applies a changed configuration without a restart, see [mqttbroker.Broker.Reload].
func (b *Broker) Reload(s *kratosmqttv1.Settings) error {
	if r, ok := b.Broker.(interface {
		Reload(c *kratosmqttv1.Settings) error
	}); ok {
		return r.Reload(s)
	}
	return nil
}

// Health returns the state of the connection and the outbox.
func (b *Broker) Health() (none event.Health) {
	if h, ok := b.Broker.(interface{ Health() event.Health }); ok {
		return h.Health()
	}
	return none
}
