// Command program is a service that was written for the MQTT packages of kratos-transport: a
// data layer and a server, with every option of both. Its argument is the address of a
// broker. It prints what it observes.
package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/go-kratos/kratos/v2/errors"
	"github.com/tx7do/kratos-transport/broker"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace/noop"

	mqttbroker "github.com/tx7do/kratos-transport/broker/mqtt"
	mqttserver "github.com/tx7do/kratos-transport/transport/mqtt"
)

type reading struct{ Celsius float64 }

// limit is how long the program waits for something that may never happen.
const limit = 2 * time.Second

type key struct{}

func main() {
	address, ctx := os.Args[1], context.WithValue(context.Background(), key{}, "of the caller")
	connects, disconnects, given := make(chan bool, 8), make(chan error, 8), make(chan error, 8)
	var published, received atomic.Int32
	b := mqttbroker.NewBroker(
		broker.WithOptionContext(context.WithValue(context.Background(), key{}, "of the broker")),
		broker.OptionContextWithValue(key{}, "of the broker"),
		broker.WithAddress(address), broker.WithCodec("json"),
		broker.WithTLSConfig(nil), broker.WithEnableSecure(false),
		broker.WithTracerProvider(noop.NewTracerProvider()), broker.WithPropagator(propagation.TraceContext{}),
		broker.WithGlobalTracerProvider(), broker.WithGlobalPropagator(),
		broker.WithErrorHandler(func(_ context.Context, e broker.Event) error { given <- e.Error(); return nil }),
		broker.WithPublishMiddlewares(func(next broker.PublishHandler) broker.PublishHandler {
			return func(ctx context.Context, topic string, m *broker.Message, opts ...broker.PublishOption) error {
				published.Add(1)
				return next(ctx, topic, m, opts...)
			}
		}),
		broker.WithSubscriberMiddlewares(counting(&received)),
		mqttbroker.WithClientId("migrated-data"), mqttbroker.WithCleanSession(true), mqttbroker.WithAuth("user", "secret"),
		mqttbroker.WithAutoReconnect(true), mqttbroker.WithResumeSubs(true), mqttbroker.WithOrderMatters(false),
		mqttbroker.WithKeepAlive(20*time.Second), mqttbroker.WithPingTimeout(5*time.Second),
		mqttbroker.WithConnectTimeout(5*time.Second), mqttbroker.WithWriteTimeout(5*time.Second),
		mqttbroker.WithConnectRetryInterval(time.Second), mqttbroker.WithMaxReconnectInterval(10*time.Second),
		mqttbroker.WithProtocolVersion(4), // MQTT 3.1.1
		mqttbroker.WithErrorLogger(), mqttbroker.WithCriticalLogger(), mqttbroker.WithWarnLogger(), mqttbroker.WithDebugLogger(),
		mqttbroker.WithLogger(mqttbroker.LoggerOptions{Error: true}),
		mqttbroker.WithOnConnect(func() { connects <- true }), mqttbroker.WithOnDisconnect(func(err error) { disconnects <- err }),
	)
	must(b.Init())
	must(b.Connect())
	_, connected := within(connects)
	say("connect callback called", connected)

	attempts, failures := make(chan bool, 8), int32(0)
	subscribe(b, "migrated/once", func(context.Context, broker.Event) error {
		attempts <- true
		if atomic.AddInt32(&failures, 1) == 1 {
			return fmt.Errorf("the database is busy")
		}
		return nil
	}, mqttbroker.WithSubscribeQos(1))
	must(b.Publish(ctx, "migrated/once", broker.NewMessage(reading{20}), mqttbroker.WithPublishQos(1)))
	say("calls for a message whose handler fails once", count(attempts, 2))

	subscribe(b, "migrated/never", func(context.Context, broker.Event) error { return errors.BadRequest("NEVER", "a bad reading") },
		broker.WithSubscribeRetry(1, time.Millisecond))
	must(b.Publish(ctx, "migrated/never", broker.NewMessage(reading{21})))
	_, failed := within(given)
	say("error handler called", failed)

	values := make(chan string, 1)
	subscribe(b, "migrated/context", func(ctx context.Context, e broker.Event) error {
		values <- fmt.Sprint(ctx.Value(key{}))
		return e.Ack()
	}, broker.DisableAutoAck(), broker.WithSubscribeAutoAck(false), broker.SubscribeContextWithValue(key{}, "of the subscription"))
	called := make(chan error, 8)
	must(b.Publish(ctx, "migrated/context", broker.NewMessage(reading{22}),
		broker.PublishContextWithValue(key{}, "of the publish"), broker.WithPublishContext(ctx), broker.WithPublishTimeout(limit),
		broker.WithPublishRetries(2), broker.WithPublishRequiredAcks(1), broker.WithPublishBodyCodec("json"),
		broker.WithPublishCallback(func(err error) { called <- err })))
	value, _ := within(values)
	say("value in the context of a handler", value)
	_, calledBack := within(called)
	say("callback of a publish called", calledBack)
	must(b.Publish(ctx, "migrated/other", broker.NewMessage(reading{23}), broker.WithPublishAsync(func(err error) { called <- err })))
	_, calledBack = within(called)
	say("callback of an asynchronous publish called", calledBack)

	must(b.Publish(ctx, "migrated/retained", broker.NewMessage(reading{24}), mqttbroker.WithPublishQos(1), mqttbroker.WithPublishRetained(true)))
	kept := make(chan bool, 8)
	subscribe(b, "migrated/retained", func(context.Context, broker.Event) error { kept <- true; return nil })
	_, retained := within(kept)
	say("retained message received", retained)

	_, err := b.Request(ctx, "migrated/nobody", broker.NewMessage(reading{25}),
		broker.WithRequestContext(ctx), broker.RequestContextWithValue(key{}, ""), broker.WithRequestTimeout(100*time.Millisecond),
		broker.WithRequestBodyCodec("json"), broker.WithReplyTopic("migrated/reply"))
	say("request without anybody to answer fails", err != nil)

	serve(ctx, address, b)
	say("publishes through the middleware of publishers", published.Load() >= 6)
	say("calls through the middleware of subscribers", received.Load() >= 4)
	must(b.Disconnect())
	say("disconnect callback called by Disconnect", len(disconnects) > 0)
}

// serve starts two servers, which share one subscription, and publishes to them.
func serve(ctx context.Context, address string, b broker.Broker) {
	got, jobs := make(chan broker.Headers, 8), make(chan bool, 32)
	var around atomic.Int32
	servers := make([]*mqttserver.Server, 2)
	for i := range servers {
		servers[i] = mqttserver.NewServer(
			mqttserver.WithAddress([]string{address}), mqttserver.WithTLSConfig(nil), mqttserver.WithCodec("json"),
			mqttserver.WithClientId(fmt.Sprint("migrated-server-", i)), mqttserver.WithCleanSession(true),
			mqttserver.WithAuth("user", "secret"), mqttserver.WithEnableKeepAlive(false),
			mqttserver.WithOnConnect(func() {}), mqttserver.WithOnDisconnect(func(error) {}),
			mqttserver.WithBrokerOptions(mqttbroker.WithKeepAlive(20*time.Second)),
		)
		must(servers[i].RegisterSubscriber(ctx, "migrated/jobs", func(context.Context, broker.Event) error { jobs <- true; return nil },
			func() any { return new(reading) }, broker.WithSubscribeQueueName("workers"), broker.WithSubscribeGroupID("workers"),
			broker.WithSubscribeConcurrency(4), broker.WithSubscribeContext(ctx), broker.WithSubscribeMiddlewares(counting(&around))))
	}
	must(mqttserver.RegisterSubscriber(servers[0], ctx, "migrated/typed",
		func(_ context.Context, _ string, headers broker.Headers, _ *reading) error { got <- headers; return nil },
		mqttbroker.WithSubscribeQos(2)))
	for _, s := range servers {
		must(s.Start(ctx))
	}
	endpoint, err := servers[0].Endpoint()
	must(err)
	say("endpoint is the broker", endpoint.Host == hostOf(address))

	typed := broker.NewMessage(reading{26}, broker.WithHeader("site", "north"))
	must(servers[1].Publish(ctx, "migrated/typed", typed, mqttbroker.WithPublishQos(2)))
	headers, _ := within(got)
	say("header that travelled", headers["site"])
	const each = 10
	for range each {
		must(b.Publish(ctx, "migrated/jobs", broker.NewMessage(reading{27})))
	}
	say("calls of two servers in one queue for 10 messages", count(jobs, 2*each))
	say("calls through the middleware of the subscription", around.Load())
	for _, s := range servers {
		must(s.Stop(ctx))
	}
}

func subscribe(b broker.Broker, topic string, h broker.Handler, opts ...broker.SubscribeOption) {
	opts = append([]broker.SubscribeOption{broker.WithSubscribeContext(context.Background())}, opts...)
	_, err := b.Subscribe(topic, h, func() any { return new(reading) }, opts...)
	must(err)
}

// counting counts calls of handlers.
func counting(n *atomic.Int32) broker.SubscriberMiddleware {
	return func(next broker.Handler) broker.Handler {
		return func(ctx context.Context, e broker.Event) error { n.Add(1); return next(ctx, e) }
	}
}

// within waits for a value, but no longer than limit.
func within[T any](c <-chan T) (v T, ok bool) {
	select {
	case v = <-c:
		return v, true
	case <-time.After(limit):
		return v, false
	}
}

// count waits for as many values, but no longer than limit, and returns how many there were.
func count(c <-chan bool, most int) (n int) {
	for deadline := time.After(limit); n < most; n++ {
		select {
		case <-c:
		case <-deadline:
			return n
		}
	}
	return n
}

func hostOf(address string) string {
	_, host, _ := strings.Cut(address, "://")
	return host
}

func say(what string, value any) { fmt.Printf("%s: %v\n", what, value) }

func must(err error) {
	if err != nil {
		panic(err)
	}
}
