package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strconv"
	"syscall"
	"time"

	"github.com/go-kratos/kratos/v2"
	"github.com/go-kratos/kratos/v2/log"
	"github.com/go-kratos/kratos/v2/registry"
	"github.com/go-kratos/kratos/v2/transport"
	"github.com/go-kratos/kratos/v2/transport/grpc"
	"github.com/go-kratos/kratos/v2/transport/http"

	kratosmqttv1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/v1"
	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/internal/biz"
	"github.com/kratos-mqtt/kratos-mqtt/internal/conf"
	"github.com/kratos-mqtt/kratos-mqtt/internal/data"
	"github.com/kratos-mqtt/kratos-mqtt/internal/server"
	"github.com/kratos-mqtt/kratos-mqtt/observe"
	"github.com/kratos-mqtt/kratos-mqtt/operator"
	mqttserver "github.com/kratos-mqtt/kratos-mqtt/transport/mqtt"
)

// stopTimeout bounds the stop of all servers together. Afterwards the publisher
// disconnects within 10 s, so that both fit into the usual grace period of 30 s.
const stopTimeout = 20 * time.Second

// newApp returns a Kratos app with the configured servers. It writes a banner to out
// when they run, and stops when ctx ends.
func newApp(
	ctx context.Context, c *conf.Bootstrap, name server.ServiceName, logger log.Logger, out io.Writer,
	registrar registry.Registrar, telemetry *server.Telemetry, hs *http.Server, gs *grpc.Server, ms *mqttserver.Server,
	embedded *server.Embedded, connection *kratosmqttv1.Connection, hold *data.Hold, backlog *event.Backlog, publisher *data.Broker,
	console *server.Console, watcher transport.Server,
) *kratos.App {
	telemetry.Watch(publisher)
	if ms != nil {
		telemetry.Watch(ms)
	}
	hold.Until(subscriptions(ms))
	backlog.Follow(subscriptions(ms), func() bool { return unhandled(ms) == 0 })
	var app *kratos.App
	unwatch := func() bool { return false }
	stop := func() {
		if err := app.Stop(); err != nil {
			log.NewHelper(logger).Errorf("stop: %v", err)
		}
	}
	app = kratos.New(
		kratos.ID(instanceID()),
		kratos.Name(string(name)),
		kratos.Version(Version),
		kratos.Metadata(map[string]string{"subscribes": strconv.FormatBool(ms != nil)}),
		kratos.Logger(logger),
		kratos.Registrar(registrar),
		kratos.StopTimeout(stopTimeout),
		kratos.Signal(syscall.SIGQUIT), // run handles the others
		kratos.Server(append(servers(hs, gs, ms, embedded, connection, publisher, logger), watcher)...),
		// Only after the start, because Kratos cannot stop what it has not started.
		kratos.AfterStart(func(context.Context) error {
			unwatch = context.AfterFunc(ctx, stop)
			_, err := io.WriteString(out, banner(c, hs, gs, ms, embedded, connection, console.Serves()))
			return err
		}),
		kratos.AfterStop(func(context.Context) error {
			unwatch()
			return nil
		}),
	)
	return app
}

// newOutbox returns the outbox, or nil if the publisher has none.
func newOutbox(publisher *data.Broker) operator.Outbox {
	q, _ := publisher.Broker.(operator.Outbox)
	return q
}

// subscriptions returns those of this process, or nil if another process subscribes.
func subscriptions(ms *mqttserver.Server) event.Subscriptions {
	if ms == nil {
		return nil
	}
	return ms
}

// servers returns the configured servers. Reports are accepted until HTTP and gRPC have
// stopped; then the outbox and the in-process broker are drained, and the subscriber
// handles messages until that is done.
func servers(
	hs *http.Server, gs *grpc.Server, ms *mqttserver.Server,
	embedded *server.Embedded, connection *kratosmqttv1.Connection, publisher *data.Broker, logger log.Logger,
) []transport.Server {
	var first []server.Server
	if hs != nil {
		first = append(first, hs)
	}
	if gs != nil {
		first = append(first, gs)
	}
	if ms == nil {
		return server.StopTogether(first)
	}
	return server.StopInOrder(first, server.Drain{
		Run: func(ctx context.Context) {
			within(ctx, 50, publisher.Flush)
			// The largest part of the time, because the in-process broker loses what remains in it.
			within(ctx, 85, func(ctx context.Context) { embedded.Drain(ctx, connection.ClientId) })
		},
		Backlogs: backlogs(ms, embedded, connection, publisher),
		Logger:   logger,
	}, ms)
}

// backlogs returns the places where messages may remain.
func backlogs(ms *mqttserver.Server, embedded *server.Embedded, connection *kratosmqttv1.Connection, publisher *data.Broker) []server.Backlog {
	outbox := server.Backlog{Place: "in the outbox", Fate: "they are sent after the next start", Count: publisher.Waiting}
	if broker := embedded.Backlog(connection.ClientId); broker != nil {
		return []server.Backlog{outbox, *broker}
	}
	return []server.Backlog{outbox, {
		Place: "with the subscriber", Fate: "the broker sends them again",
		Count: func() int { return unhandled(ms) },
	}}
}

// unhandled returns how many messages the subscriber has received and not yet handled.
func unhandled(ms *mqttserver.Server) int {
	h := ms.Health()
	return h.Queued + h.Running
}

// within calls f with the given percentage of the remaining time; the rest is left for
// what follows.
func within(ctx context.Context, percent int, f func(context.Context)) {
	if deadline, ok := ctx.Deadline(); ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Until(deadline)*time.Duration(percent)/100)
		defer cancel()
	}
	f(ctx)
}

// instanceID returns an id that distinguishes processes of the service.
func instanceID() string {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	return fmt.Sprintf("%s-%d", host, os.Getpid())
}

// newObservers returns what sees the messages of the publisher.
func newObservers(t *server.Telemetry) data.Observers {
	return data.Observers{Hooks: t.Hooks(), Spans: t.Spans()}
}

// newLimits returns the configured limits of devices.
func newLimits(c *conf.Device) biz.Limits {
	if c == nil {
		return biz.Limits{}
	}
	return biz.Limits{Temperature: c.TemperatureLimit, Silence: c.OfflineAfter.AsDuration()}
}

// newHealthLimits returns the configured limits of the probes.
func newHealthLimits(c *conf.Health) observe.Limits {
	limits := observe.Limits{
		Certificate:  c.GetCertificate().AsDuration(),
		OutboxAge:    c.GetOutboxAge().AsDuration(),
		MessageAge:   c.GetMessageAge().AsDuration(),
		LettersLost:  c.GetLettersLost().AsDuration(),
		Losses:       int(c.GetLosses()),
		LossesWithin: c.GetLossesWithin().AsDuration(),
		// What is published while the broker is away is stored, so a collector stays ready.
		OutboxCovers: true,
	}
	if c != nil && c.OutboxCovers != nil {
		limits.OutboxCovers = c.GetOutboxCovers()
	}
	return limits
}
