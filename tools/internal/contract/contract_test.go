package contract

import (
	"strings"
	"testing"
)

const document = `asyncapi: 3.0.0
channels:
  DeviceEvents.Report:
    address: devices/{id}/report
    messages:
      Report:
        $ref: '#/components/messages/device.v1.Report'
    x-mqtt-filter: devices/+/report
  DeviceEvents.Get:
    address: get/{id}
    messages:
      Get:
        $ref: '#/components/messages/device.v1.Report.request'
    x-mqtt-filter: get/+
  DeviceEvents.Get.reply:
    address: null
    messages:
      State:
        $ref: '#/components/messages/device.v1.State.reply'
operations:
  DeviceEvents.Report:
    action: receive
    channel:
      $ref: '#/channels/DeviceEvents.Report'
    bindings:
      mqtt:
        qos: 1
        retain: false
  DeviceEvents.Get:
    action: receive
    channel:
      $ref: '#/channels/DeviceEvents.Get'
    bindings:
      mqtt:
        qos: 1
        retain: false
    reply:
      channel:
        $ref: '#/channels/DeviceEvents.Get.reply'
    x-mqtt-reply-qos: 1
components:
  messages:
    device.v1.Report:
      name: device.v1.Report
      contentType: application/protobuf
    device.v1.Report.request:
      name: device.v1.Report
      contentType: application/json
    device.v1.State.reply:
      name: device.v1.State
      contentType: application/json
  schemas:
    device.v1.Report:
      properties:
        deviceId:
          type: string
          x-protobuf: string = 1
        mode:
          allOf:
            - $ref: '#/components/schemas/device.v1.Mode'
          x-protobuf: optional device.v1.Mode = 2
    device.v1.Mode:
      anyOf:
        - type: string
          enum:
            - ON
            - OFF
        - type: integer
      x-protobuf-values:
        ON: 0
        OFF: 1
`

// TestBreaks changes one thing in a document.
func TestBreaks(t *testing.T) {
	t.Parallel()
	old, err := Of([]byte(document))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, from, to string
		breaks         string // "" if nothing breaks
	}{
		{"nothing", "", "", ""},
		{"a renamed topic", "address: devices/{id}/report", "address: device/{id}/report", "operation DeviceEvents.Report topic"},
		{"another filter", "x-mqtt-filter: devices/+/report", "x-mqtt-filter: devices/#", "operation DeviceEvents.Report filter"},
		{"a lower QoS", "qos: 1", "qos: 0", "operation DeviceEvents.Report qos"},
		{"another expiry", "retain: false", "retain: false\n        messageExpiryInterval: 5", "operation "},
		{"a new required field", "        mode:\n", "        size:\n          x-protobuf: required int32 = 3\n        mode:\n", "field device.v1.Report.size"},
		{"retained", "retain: false", "retain: true", "operation DeviceEvents.Report retain"},
		{"the other direction", "action: receive", "action: send", "operation DeviceEvents.Report action"},
		{"another codec", "contentType: application/protobuf", "contentType: application/json", "operation DeviceEvents.Report message"},
		{"another reply", "name: device.v1.State", "name: device.v1.Status", "operation DeviceEvents.Get reply"},
		{"no reply", "    reply:\n      channel:\n        $ref: '#/channels/DeviceEvents.Get.reply'\n", "", "operation DeviceEvents.Get reply"},
		{"a dropped field", "        deviceId:\n          type: string\n          x-protobuf: string = 1\n", "", "field device.v1.Report.deviceId"},
		{"another type", "x-protobuf: string = 1", "x-protobuf: bytes = 1", "field device.v1.Report.deviceId"},
		{"another number", "x-protobuf: string = 1", "x-protobuf: string = 7", "field device.v1.Report.deviceId"},
		{"presence that is gone", "x-protobuf: optional device.v1.Mode = 2", "x-protobuf: device.v1.Mode = 2", "field device.v1.Report.mode"},
		{"another number of a value", "OFF: 1", "OFF: 2", "value device.v1.Mode.OFF"},
		{"a field that moves into a oneof", "x-protobuf: string = 1", "x-protobuf: string = 1 in oneof by", "field device.v1.Report.deviceId"},
		{"another QoS of the reply", "x-mqtt-reply-qos: 1", "x-mqtt-reply-qos: 0", "operation DeviceEvents.Get reply qos"},
		{"a dropped value", "        OFF: 1\n", "", "value device.v1.Mode.OFF"},
		{"a renamed operation", "operations:\n  DeviceEvents.Report:", "operations:\n  DeviceEvents.Tell:", "operation DeviceEvents.Report"},
		{"a new value", "        OFF: 1\n", "        OFF: 1\n        IDLE: 2\n", ""},
		{"a new field", "        mode:\n", "        size:\n          x-protobuf: int32 = 3\n        mode:\n", ""},
		{"another description", "type: string\n          x-", "type: string\n          description: The id.\n          x-", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			text := strings.Replace(document, c.from, c.to, 1)
			if c.from != "" && text == document {
				t.Fatal("nothing changed")
			}
			current, err := Of([]byte(text))
			if err != nil {
				t.Fatal(err)
			}
			var breaks []string
			for _, change := range Compare(old, current) {
				if change.Breaking() {
					breaks = append(breaks, change.Key)
				}
			}
			if got := strings.Join(breaks, ", "); !strings.HasPrefix(got, c.breaks) || (c.breaks == "") != (got == "") {
				t.Errorf("broken are %q, want %q", got, c.breaks)
			}
		})
	}
}

// TestLock writes a contract and reads it again.
func TestLock(t *testing.T) {
	t.Parallel()
	c, err := Of([]byte(document))
	if err != nil {
		t.Fatal(err)
	}
	again, err := Unmarshal(c.Marshal())
	if err != nil || len(again) != len(c) || len(Compare(c, again)) > 0 {
		t.Errorf("%d promises, want %d: %v, %v", len(again), len(c), Compare(c, again), err)
	}
	again, err = Unmarshal([]byte(strings.ReplaceAll(string(c.Marshal()), "\n", "\r\n")))
	if err != nil || len(Compare(c, again)) > 0 {
		t.Errorf("with CRLF: %v, %v", Compare(c, again), err)
	}
	odd, err := Of([]byte(strings.Replace(document, "deviceId:", `"a: b\n":`, 1)))
	if err != nil {
		t.Fatal(err)
	}
	if again, err = Unmarshal(odd.Marshal()); err != nil || len(Compare(odd, again)) > 0 {
		t.Errorf("an odd json_name: %v, %v", Compare(odd, again), err)
	}
	if _, err := Unmarshal([]byte("# a comment\nno value\n")); err == nil || !strings.Contains(err.Error(), "line 2") {
		t.Errorf("err = %v, want line 2", err)
	}
}
