package mqtt_test

import (
	"strings"
	"testing"

	"github.com/tx7do/kratos-transport/broker"

	v1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/v1"
	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/event/deadletter"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
)

// names checks that an error contains each of the parts.
func names(t *testing.T, err error, parts ...string) {
	t.Helper()
	if err == nil {
		t.Error("no error")
		return
	}
	for _, part := range parts {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%v\ndoes not name %s", err, part)
		}
	}
}

// Parking without a client id is an error that names the missing setting, and the
// configuration key if parking was configured there. The log does not contradict the
// error, and does not blame the filter.
func TestParkWithoutClientIDSaysWhatIsWanted(t *testing.T) {
	t.Parallel()
	server := mqtttest.InProcess(t)
	inConfig := open(t, server.URL(), mqttbroker.WithDeadLetters(deadletter.NewMemory(0)),
		mqttbroker.WithSubscriberConfig(&v1.Subscriber{Subscriptions: map[string]*v1.Subscription{"a": {Exhausted: "park"}}}))
	_, err := inConfig.Subscribe("a", nothing, nil)
	names(t, err, `subscriber.subscriptions.a.exhausted`, "want a client_id")

	inCode, out := logged(t, server.URL(), mqttbroker.WithDeadLetters(deadletter.NewMemory(0)),
		mqttbroker.WithSubscriberConfig(&v1.Subscriber{Subscriptions: map[string]*v1.Subscription{"a": {Concurrency: 1}}}))
	_, err = inCode.Subscribe("a", nothing, nil, mqttbroker.WithSubscribeExhausted(event.ExhaustedPark))
	names(t, err, "want a client_id")
	subscribe(t, inCode, "b")
	if err := inCode.Connect(); err != nil {
		t.Fatal(err)
	}
	if n := out.count("nothing is parked") + out.count("matches no subscription"); n > 0 {
		t.Errorf("%d warnings", n)
	}
}

// The error for a filter that needs an option names the option and its purpose.
func TestBroadFilterNamesItsOption(t *testing.T) {
	t.Parallel()
	b := open(t, mqtttest.InProcess(t).URL())
	for filter, why := range map[string]string{"#": "no level of text", "+/#": "no level of text", "$SYS/broker/version": "begin with $SYS"} {
		_, err := b.Subscribe(filter, nothing, nil)
		names(t, err, why, "WithSubscribeBroad")
		_, err = b.Subscribe(filter, nothing, nil, broker.WithSubscribeQueueName("g"))
		names(t, err, why, "WithSubscribeBroad")
	}
}

// If a filter is listed as one of an earlier version and is also subscribed to, it
// stays subscribed, and that is logged once.
func TestPreviousFilterThatIsRegisteredIsTold(t *testing.T) {
	t.Parallel()
	b, out := logged(t, mqtttest.InProcess(t).URL(), mqttbroker.WithClientId("hint"), mqttbroker.WithPreviousFilters("early", "late", "gone"))
	subscribe(t, b, "early")
	subscribe(t, b, "early")
	if err := b.Connect(); err != nil {
		t.Fatal(err)
	}
	if n := out.count("previous_filters"); n != 1 {
		t.Errorf("told %d times", n)
	}
	subscribe(t, b, "late")
	subscribe(t, b, "late")
	if n := out.count("previous_filters"); n != 2 {
		t.Errorf("told %d times", n)
	}
}
