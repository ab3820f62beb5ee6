package mqtt

import (
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/go-kratos/kratos/v2/log"
	"github.com/tx7do/kratos-transport/broker"

	v1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/v1"
	"github.com/kratos-mqtt/kratos-mqtt/event/deadletter"
	"github.com/kratos-mqtt/kratos-mqtt/event/outbox"
	"github.com/kratos-mqtt/kratos-mqtt/event/stores"
)

// commitPoll is how often a table is looked at: nothing tells when the
// transaction of a message has committed.
const commitPoll = 200 * time.Millisecond

// Open is the data layer from configuration alone: a broker that publishes in the
// codec "proto" unless an option says otherwise, through the outbox of the
// stores when there is one. It connects, and does not wait for that. The
// returned function waits for what is in flight, sends what it can of the outbox
// and disconnects. It fails for what [Check] reports. Nil stores are none, a nil
// logger is Kratos' global one; opts come last.
func Open(c *v1.Settings, s *stores.Stores, logger log.Logger, opts ...broker.Option) (*Broker, func(), error) {
	all := settings(c, logger)
	if s != nil && s.Outbox != nil {
		how := []OutboxOption{OutboxConfig(c.GetOutbox())}
		if c.GetOutbox().GetDriver() == stores.DriverSQL {
			how = append(how, OutboxPollInterval(commitPoll))
		}
		all = append(all, WithOutbox(s.Outbox, how...))
	}
	b := NewBroker(append(all, opts...)...)
	if err := b.Init(); err != nil {
		return nil, nil, fmt.Errorf("MQTT publisher: %w", err)
	}
	if err := b.Connect(); err != nil {
		return nil, nil, fmt.Errorf("MQTT publisher: %w", err)
	}
	cleanup := func() {
		if err := b.Disconnect(); err != nil {
			b.now.Load().client.Log().Errorf("disconnect the MQTT publisher: %v", err)
		}
	}
	return b, cleanup, nil
}

// Check returns all errors of a configuration, of both layers, each with the key of the
// setting ([event.SettingError]). It opens no connection and logs nothing; settings
// that work but are probably not intended are logged at the start. Use it as a check of
// configfile.Load, which adds file and line. database reports whether the service has a
// database.
func Check(c *v1.Settings, database bool) error {
	opts := append(settings(c, log.NewStdLogger(io.Discard)), WithSubscriber(c.GetSubscriber()),
		WithDeadLettersConfig(c.GetDeadLetters()), WithDeadLetters(deadletter.NewMemory(0)))
	if waiting, err := outbox.NewMemory(outbox.MemoryOptions{}); err == nil && c.GetOutbox() != nil {
		opts = append(opts, WithOutbox(waiting, OutboxConfig(c.GetOutbox())))
	}
	return errors.Join(NewBroker(opts...).Init(), stores.Check(c, database))
}

// settings are the options of a configuration.
func settings(c *v1.Settings, logger log.Logger) []broker.Option {
	return []broker.Option{
		broker.WithCodec("proto"), WithConnection(c.GetConnection()), WithPublisher(c.GetPublisher()), WithKratosLogger(logger),
	}
}
