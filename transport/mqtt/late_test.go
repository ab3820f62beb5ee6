package mqtt_test

import (
	"context"
	"testing"
	"time"

	"github.com/tx7do/kratos-transport/broker"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	kratosmqttv1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/v1"
	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/event/eventimpl"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
	mqttserver "github.com/kratos-mqtt/kratos-mqtt/transport/mqtt"
)

// Health counts handlers that passed their deadline until they return, of single messages
// and of batches.
func TestHealthCountsLateHandlers(t *testing.T) {
	t.Parallel()
	for name, batch := range map[string]bool{"single": false, "batch": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := carrier{mqtttest.InProcess(t).URL(), mqttbroker.WithProtocol("5"), false}
			srv := c.server(t, mqttserver.WithBrokerOptions(
				mqttbroker.WithSubscriberConfig(&kratosmqttv1.Subscriber{HandlerTimeout: durationpb.New(10 * time.Millisecond)})))
			d := textService()
			m := &d.Methods[0]
			release := make(chan struct{})
			var opts []event.RegisterOption
			if batch {
				opts = append(opts, eventimpl.NewBatch(m, func(context.Context, []*wrapperspb.StringValue) error {
					<-release // whatever its context says
					return nil
				}, event.BatchSize(1)))
			}
			srv.RegisterService(d, []event.Handler{eventimpl.NewHandler(m, func(context.Context, *wrapperspb.StringValue) (*emptypb.Empty, error) {
				<-release
				return nil, nil
			}, bindText)}, opts...)
			start(t, srv)
			if err := c.broker(t, broker.WithCodec("")).Publish(within(t, patience), "texts/a", broker.NewMessage([]byte{})); err != nil {
				t.Fatal(err)
			}
			mqtttest.Eventually(t, patience, func() bool { return srv.Health().HandlersLate == 1 })
			close(release)
			mqtttest.Eventually(t, patience, func() bool { return srv.Health().HandlersLate == 0 })
		})
	}
}
