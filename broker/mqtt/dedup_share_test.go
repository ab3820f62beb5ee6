package mqtt_test

import (
	"fmt"
	"testing"

	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/event/dedup"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
)

// A window in memory has one limit for all ids. If a device sends many different ids,
// CloudEvents sources and topics, the window forgets ids of that device only. If it
// forgot ids of others, their messages would be handled again.
func TestIDsOfOneDeviceDoNotCrowdOutOthers(t *testing.T) {
	t.Parallel()
	window, err := dedup.NewMemory(dedup.MemoryOptions{MaxIDs: 100})
	if err != nil {
		t.Fatal(err)
	}
	b := connected(t, mqtttest.InProcess(t).URL(), mqttbroker.WithProtocol("5"), mqttbroker.WithDedup(window))
	got := subscribe(t, b, "devices/+/#")
	others := subscribe(t, b, "devices/+/+/+")
	send := func(topic, id, source string) {
		t.Helper()
		publish(t, b, topic, "x", mqttbroker.WithCallOptions(event.Header("id", id), event.Header("type", "t"),
			event.Header("specversion", "1.0"), event.Header("source", source)))
	}
	for i := range 20 {
		send("devices/B/data", fmt.Sprint(i), "/B")
		receive(t, got)
	}
	for i := range 150 {
		send("devices/A/data", fmt.Sprint("id-", i), "/A")
		receive(t, got)
		send("devices/A/data", "id", fmt.Sprint("/A/", i))
		receive(t, got)
		send(fmt.Sprintf("devices/A/%d/data", i), "id", "/A")
		receive(t, got)
		receive(t, others)
	}
	for i := range 20 {
		send("devices/B/data", fmt.Sprint(i), "/B")
	}
	mqtttest.Eventually(t, patience, func() bool { return b.Health().Duplicates+int64(len(got)) == 20 })
	if d := b.Health().Duplicates; d != 20 {
		t.Errorf("of 20 messages that came again %d were known", d)
	}
}
