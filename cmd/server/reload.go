package main

import (
	"context"
	"errors"
	"sync/atomic"

	"github.com/go-kratos/kratos/v2/log"
	"github.com/go-kratos/kratos/v2/transport"

	kratosmqttv1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/v1"
	"github.com/kratos-mqtt/kratos-mqtt/internal/conf"
	"github.com/kratos-mqtt/kratos-mqtt/internal/data"
	"github.com/kratos-mqtt/kratos-mqtt/internal/server"
	mqttserver "github.com/kratos-mqtt/kratos-mqtt/transport/mqtt"
)

// logLevel is the least severe level that is logged. Safe for concurrent use.
type logLevel struct{ min atomic.Int32 }

func (l *logLevel) set(c *conf.Log) { l.min.Store(int32(c.MinLevel())) }

// hides reports whether a line is not logged.
func (l *logLevel) hides(level log.Level, _ ...any) bool { return int32(level) < l.min.Load() }

// source is where the configuration came from.
type source struct {
	file  string // empty: it does not change
	level *logLevel
}

// reloading applies a changed configuration.
type reloading struct {
	level     *logLevel
	now       *conf.Bootstrap
	embedded  *server.Embedded
	publisher *data.Broker
	ms        *mqttserver.Server
}

// apply applies what may change and returns an error for each setting that needs a restart.
func (r *reloading) apply(next *conf.Bootstrap) error {
	connection, err := server.NewConnection(next.Mqtt, r.embedded)
	if err != nil {
		return err
	}
	r.level.set(next.Log)
	errs := r.now.Restarts(next)
	errs = append(errs, r.publisher.Reload(&kratosmqttv1.Settings{Connection: connection, Publisher: next.GetMqtt().GetPublisher()}))
	if r.ms != nil {
		errs = append(errs, r.ms.Reload(&kratosmqttv1.Settings{Connection: connection, Subscriber: next.GetServer().GetMqtt()}))
	}
	r.now = next
	return errors.Join(errs...)
}

// newWatcher returns what watches the configuration file while the service runs.
func newWatcher(from source, c *conf.Bootstrap, embedded *server.Embedded, publisher *data.Broker, ms *mqttserver.Server, logger log.Logger) transport.Server {
	if from.file == "" {
		return unwatched{}
	}
	r := &reloading{level: from.level, now: c, embedded: embedded, publisher: publisher, ms: ms}
	return conf.Watch(from.file, logger, checkMQTT, r.apply)
}

// unwatched is the configuration of a service without a file.
type unwatched struct{}

func (unwatched) Start(context.Context) error { return nil }

func (unwatched) Stop(context.Context) error { return nil }
