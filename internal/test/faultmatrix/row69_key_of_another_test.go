package faultmatrix_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"

	"google.golang.org/protobuf/types/known/durationpb"

	devicev1 "github.com/kratos-mqtt/kratos-mqtt/api/device/v1"
	v1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/v1"
	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/event/deadletter"
	"github.com/kratos-mqtt/kratos-mqtt/event/eventimpl"
	"github.com/kratos-mqtt/kratos-mqtt/event/message"
)

// Row 69: one device sends messages that cannot be handled now, and names the ordering key of
// others in a header. The key that the method declares is part of the topic, so that only its
// own messages are parked.
func TestFault_69_KeyOfANeighbour(t *testing.T) {
	t.Parallel()
	eachVersion(t, func(h *harness) {
		n := h.newNeighbours()
		parked := new(parkSpy)
		s := h.newSubscriber(n.broker.URL(), "",
			mqttbroker.WithDeadLetters(deadletter.NewMemory(0)), mqttbroker.WithCloudEvents("/faults"), mqttbroker.WithHooks(parked),
			mqttbroker.WithSubscriberConfig(&v1.Subscriber{
				RetryBudget:   durationpb.New(0),
				Subscriptions: map[string]*v1.Subscription{"devices/+/data": {Exhausted: "park"}},
			}))
		// A method as generated for "ordering_key: device_id".
		method := devicev1.DeviceEvents_MQTT_ServiceDesc.Methods[0]
		method.Key = eventimpl.TextOf((*devicev1.Telemetry).GetDeviceId)
		desc := event.ServiceDesc{Name: "faults.Keyed", File: "faults/keyed.proto", Methods: []event.MethodDesc{method}}
		s.s.RegisterService(&desc, []event.Handler{eventimpl.NewHandler(&desc.Methods[0],
			func(_ context.Context, in *devicev1.Telemetry) (*devicev1.Telemetry, error) {
				if in.GetDeviceId() == rogue {
					return nil, errors.New("the database does not know this device")
				}
				n.handled(in.GetEventId())
				return in, nil
			},
			func(topic string, in *devicev1.Telemetry) (string, error) {
				r := eventimpl.ReadTopic(topic)
				r.Literal("devices/")
				in.DeviceId = r.Level()
				r.Literal("/data")
				return "", r.Err()
			})})
		s.run()
		telemetry := func(d *device, i int, headers ...[2]string) wire {
			return wire{
				topic: "devices/" + d.name + "/data", id: id(i), contentType: message.TypeJSON, headers: headers,
				payload: fmt.Appendf(nil, `{"event_id":%q,"timestamp":1700000000}`, id(i)),
			}
		}
		n.send = func(d *device, i int) { d.publish(telemetry(d, i)) }
		n.unharmed(s, func(first int) func() {
			for i := range honest {
				n.rogue.publish(telemetry(n.rogue, hostile+first+i, [2]string{"partitionkey", deviceName(i)}, [2]string{"datacontenttype", message.TypeJSON}))
			}
			return nil
		})
		for _, i := range parked.all() {
			if i.Topic != "devices/"+rogue+"/data" {
				h.Errorf("parked with key %q: a message on %q", i.Key, i.Topic)
				break
			}
		}
		if len(parked.all()) == 0 {
			h.Error("nothing was parked: the row has made no fault")
		}
		if held := s.health().ParkedKeys; held > 1 {
			h.Errorf("%d keys are held, want that of the hostile one", held)
		}
		if s.health().KeyMismatches == 0 {
			h.Error("the health counts no header that contradicts the key of its topic")
		}
		n.named("devices/" + rogue + "/data")
	})
}

// parkSpy records parked messages.
type parkSpy struct {
	mu   sync.Mutex
	told []event.ParkInfo
}

func (s *parkSpy) OnPark(i event.ParkInfo) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.told = append(s.told, i)
}

func (s *parkSpy) all() []event.ParkInfo {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.told)
}
