package mqtt_test

import (
	"context"
	"testing"
	"time"

	"github.com/tx7do/kratos-transport/broker"
	"google.golang.org/protobuf/types/known/durationpb"

	v1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/v1"
	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
	testbroker "github.com/kratos-mqtt/kratos-mqtt/mqtttest/broker"
)

// outcomes receives the outcome of each publish.
type outcomes chan error

func (o outcomes) OnPublish(i event.PublishInfo) { o <- i.Err }

// askerOf returns a client whose request on "double" is acknowledged as a fault says.
func askerOf(t *testing.T, c carrier, b *mqtttest.InProcessBroker, puback testbroker.Action, opts ...broker.Option) (*requester, outcomes) {
	t.Helper()
	startReplier(t, c)
	b.Inject(testbroker.Fault{
		Direction: testbroker.ToClient, Type: testbroker.Puback, Client: testbroker.ClientID("asker-pub"), Times: 1, Do: puback,
	})
	published := make(outcomes, 9)
	return c.broker(t, append(opts, mqttbroker.WithClientId("asker"), mqttbroker.WithHooks(published))...), published
}

// askOnce sends a request whose context ends with its return, as that of an HTTP handler does.
func askOnce(t *testing.T, r *requester) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	got, err := mqttbroker.Request[reading](ctx, r, "double", reading{1})
	if err != nil || got.Celsius != 2 {
		t.Fatalf("got %v, %v", got, err)
	}
}

// A broker may deliver a reply before it acknowledges the request. The reply ends the
// request, and the publish goes on until its own outcome is known.
func TestReplyEndsRequestBeforeAcknowledgement(t *testing.T) {
	t.Parallel()
	eachInProcess(t, func(t *testing.T, c carrier, b *mqtttest.InProcessBroker) {
		r, published := askerOf(t, c, b, testbroker.Drop())
		askOnce(t, r)
		select {
		case err := <-published:
			t.Fatalf("the publish ended before its acknowledgement: %v", err)
		default:
		}
		b.Cut("asker-pub") // acknowledged on the next connection
		if err := receive(t, published); err != nil {
			t.Error(err)
		}
	})
}

// Stop waits for the publish of a request that has its reply.
func TestStopWaitsForAcknowledgementOfRequest(t *testing.T) {
	t.Parallel()
	eachInProcess(t, func(t *testing.T, c carrier, b *mqtttest.InProcessBroker) {
		r, published := askerOf(t, c, b, testbroker.Delay(200*time.Millisecond))
		askOnce(t, r)
		if err := r.Stop(within(t, patience)); err != nil {
			t.Fatal(err)
		}
		select {
		case err := <-published:
			if err != nil {
				t.Error(err)
			}
		default:
			t.Error("the publish is still under way after Stop")
		}
	})
}

// A reply does not keep the publish waiting for longer than publishes may take.
func TestAcknowledgementOfRequestTimesOut(t *testing.T) {
	t.Parallel()
	eachInProcess(t, func(t *testing.T, c carrier, b *mqtttest.InProcessBroker) {
		r, published := askerOf(t, c, b, testbroker.Drop(), mqttbroker.WithPublisherConfig(&v1.Publisher{Timeout: durationpb.New(100 * time.Millisecond)}))
		askOnce(t, r)
		wantReason(t, receive(t, published), event.ReasonTimeout, 504)
		b.Cut("asker-pub") // or Disconnect waits for the lost PUBACK
	})
}

// A middleware that panics is an error of its request, and not the end of the process.
func TestRequestWithPanickingMiddleware(t *testing.T) {
	t.Parallel()
	eachInProcess(t, func(t *testing.T, c carrier, _ *mqtttest.InProcessBroker) {
		r := c.broker(t, broker.WithPublishMiddlewares(func(broker.PublishHandler) broker.PublishHandler {
			return func(context.Context, string, *broker.Message, ...broker.PublishOption) error { panic("middleware") }
		}))
		if _, err := mqttbroker.Request[reading](within(t, patience), r, "double", reading{1}); err == nil {
			t.Error("no error")
		}
	})
}
