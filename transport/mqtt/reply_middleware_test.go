package mqtt_test

import (
	"context"
	"runtime"
	"testing"
	"time"

	"github.com/tx7do/kratos-transport/broker"

	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
	mqttserver "github.com/kratos-mqtt/kratos-mqtt/transport/mqtt"
)

// A publish middleware that panics on a reply, or ends its goroutine, affects only that
// reply: the process continues, and the request is acknowledged. This applies both if
// the middleware fails at once and if it fails after the reply has released its worker.
func TestReplyWhoseMiddlewareFails(t *testing.T) {
	t.Parallel()
	slowly := func(f func()) func() {
		return func() {
			<-time.After(200 * time.Millisecond)
			f()
		}
	}
	panics := func() { panic("no") }
	for name, fail := range map[string]func(){
		"panic": panics, "goexit": runtime.Goexit, "late panic": slowly(panics), "late goexit": slowly(runtime.Goexit),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url, v5, bad := mqtttest.InProcess(t).URL(), mqttbroker.WithProtocol("5"), true
			srv, _ := server(t, url, mqttserver.WithBrokerOptions(v5, broker.WithPublishMiddlewares(func(next broker.PublishHandler) broker.PublishHandler {
				return func(ctx context.Context, topic string, m *broker.Message, opts ...broker.PublishOption) error {
					if bad {
						bad = false
						fail()
					}
					return next(ctx, topic, m, opts...)
				}
			})))
			echo := func(_ context.Context, r *reading) (*reading, error) { return r, nil }
			if err := mqttserver.RegisterReplier(srv, t.Context(), "ask", echo); err != nil {
				t.Fatal(err)
			}
			start(t, srv)
			r := carrier{url, v5, false}.broker(t)
			if _, err := mqttbroker.Request[reading](within(t, time.Second), r, "ask", &reading{1}); err == nil {
				t.Error("a reply came")
			}
			mqtttest.Eventually(t, patience, func() bool { return srv.Health().RepliesDropped == 1 })
			reply, err := mqttbroker.Request[reading](within(t, patience), r, "ask", &reading{2})
			if err != nil || reply.Celsius != 2 {
				t.Errorf("%v, %v", reply, err)
			}
			mqtttest.Eventually(t, patience, func() bool { h := srv.Health(); return h.Queued == 0 && h.Running == 0 })
		})
	}
}
