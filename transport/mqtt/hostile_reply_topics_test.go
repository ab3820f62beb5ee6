package mqtt_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/wrapperspb"

	v1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/v1"
	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest/broker"
	mqttserver "github.com/kratos-mqtt/kratos-mqtt/transport/mqtt"
)

// anyState answers requests on devices/<device>/<chosen by the device>/of/get, in
// addition to devices/<device>/state/get.
func anyState(t testing.TB, url string, opts ...mqttserver.ServerOption) *mqttserver.Server {
	t.Helper()
	srv, _, _ := stateService(t, url, opts...)
	err := mqttserver.RegisterReplier(srv, t.Context(), "devices/+/+/of/get", func(_ context.Context, v *wrapperspb.DoubleValue) (*wrapperspb.DoubleValue, error) {
		return v, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return srv
}

// A device that sends requests on many topics of its own receives a few shares of
// replies, not one share for each topic.
func TestTopicsOfOneDeviceShareReplies(t *testing.T) {
	t.Parallel()
	const asked = 300
	url := mqtttest.InProcess(t).URL()
	srv := anyState(t, url, mqttserver.WithBrokerOptions(mqttbroker.WithSubscriberConfig(&v1.Subscriber{Replies: &v1.Replies{PerMinute: 20}})))
	c := carrier{url, mqttbroker.WithProtocol("5"), false}
	a, b := c.broker(t), c.broker(t, mqttbroker.WithClientId("B"))
	for i := range asked {
		askOn(t, a, fmt.Sprintf("devices/A/%d/of/get", i), fmt.Sprintf("reply/A/%d/x", i))
	}
	if n := honest(t, b, "B", 15, 2*time.Second); n != 15 {
		t.Errorf("%d of 15 honest requests were answered", n)
	}
	mqtttest.Eventually(t, patience, func() bool { return srv.Health().RepliesDropped >= asked-4*20-10 })
}

// Nor does the device end a connection for each topic.
func TestTopicsOfOneDeviceEndFewConnections(t *testing.T) {
	t.Parallel()
	const asked, few = 30, 12
	s := mqtttest.InProcess(t)
	s.Inject(broker.Fault{
		Direction: broker.ToBroker, Type: broker.Publish, Do: broker.CutBefore(),
		Filter: func(topic string) bool { return strings.HasPrefix(topic, "reply/A") },
	})
	losses := new(lossHook)
	srv := anyState(t, s.URL(), mqttserver.WithBrokerOptions(mqttbroker.WithHooks(losses)))
	c := carrier{s.URL(), mqttbroker.WithProtocol("5"), false}
	a, b := c.broker(t), c.broker(t, mqttbroker.WithClientId("B"))
	for i := range asked {
		askOn(t, a, fmt.Sprintf("devices/A/%d/of/get", i), fmt.Sprintf("reply/A/%d/x", i))
		mqtttest.Eventually(t, patience, func() bool { return srv.Health().RepliesDropped == int64(i+1) })
	}
	if n := honest(t, b, "B", 15, 2*time.Second); n != 15 {
		t.Errorf("%d of 15 honest requests were answered", n)
	}
	if n := losses.lost.Load(); n > few {
		t.Errorf("%d connections lost for %d requests of one device, want %d at most", n, asked, few)
	}
}
