package faultmatrix_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"

	"google.golang.org/protobuf/types/known/emptypb"

	devicev1 "github.com/kratos-mqtt/kratos-mqtt/api/device/v1"
	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
	mqttserver "github.com/kratos-mqtt/kratos-mqtt/transport/mqtt"
)

// again makes a service subscribe once more.
type again struct {
	losses int // connections lost
	begin  func(s *subscriber, p *mqtttest.Proxy) error
}

func (again) versions() []string { return []string{"3.1.1", "5"} }

// Row 76: the broker retains the heartbeat of one device, so that the service receives it again
// each time it subscribes. A retained heartbeat does not show that the device is online, and
// the service ignores it.
func TestFault_76_RetainedHeartbeat(t *testing.T) {
	t.Parallel()
	eachWay(t, map[string]again{
		"restart": {0, func(s *subscriber, _ *mqtttest.Proxy) error {
			if err := s.stop(patience); err != nil {
				return err
			}
			return s.start()
		}},
		"reconnect": {1, func(_ *subscriber, p *mqtttest.Proxy) error {
			p.Cut()
			return nil
		}},
	}, func(h *harness, way again) {
		n := h.newNeighbours()
		n.losses = way.losses * flowRounds
		proxy := mqtttest.NewProxy(h, n.broker.URL())
		var live, stale atomic.Int64
		s := h.newSubscriber(proxy.URL(), "", mqttbroker.WithCloudEvents("/faults"))
		devicev1.RegisterDeviceEventsMQTTServer(s.s, &deviceEvents{
			heartbeat: func(ctx context.Context, _ *devicev1.Heartbeat) error {
				if tr, ok := mqttserver.FromContext(ctx); ok && tr.Retained() {
					stale.Add(1)
				} else {
					live.Add(1)
				}
				return nil
			},
			telemetry: func(_ context.Context, in *devicev1.Telemetry) error {
				n.handled(in.GetEventId())
				return nil
			},
		})
		s.run()
		n.send = func(d *device, i int) {
			d.publish(wire{topic: "devices/" + d.name + "/data", id: id(i), payload: fmt.Appendf(nil, `{"event_id":%q,"timestamp":1700000000}`, id(i))})
		}
		n.unharmed(s, func(int) func() {
			before := n.rogue.acknowledged()
			n.rogue.publish(wire{topic: "devices/" + rogue + "/heartbeat", retain: true, payload: []byte("{}")})
			n.soon(func() bool { return n.rogue.acknowledged() > before && live.Load() > 0 })
			if err := way.begin(s, proxy); err != nil {
				h.Error(err)
			}
			return nil
		})
		n.soon(func() bool { return s.health().Ready })
		if !h.five() && way.losses == 0 { // on MQTT 5 the subscription asks the broker not to send it
			n.soon(func() bool { return s.health().RetainedIgnored > 0 })
			if s.health().RetainedIgnored == 0 {
				h.Error("the health counts no retained message that was ignored")
			}
		}
		if live.Load() == 0 {
			h.Error("no heartbeat arrived: the row has made no fault")
		}
		if k := stale.Load(); k > 0 {
			h.Errorf("a retained heartbeat was handled %d times", k)
		}
	})
}

var _ devicev1.DeviceEventsMQTTServer = (*deviceEvents)(nil)

// deviceEvents is a service of devices whose methods do nothing unless a row sets them.
type deviceEvents struct {
	telemetry func(ctx context.Context, in *devicev1.Telemetry) error
	heartbeat func(ctx context.Context, in *devicev1.Heartbeat) error
	state     func(ctx context.Context, in *devicev1.GetDeviceStateRequest) (*devicev1.DeviceState, error)
}

func (s *deviceEvents) RecordTelemetry(ctx context.Context, in *devicev1.Telemetry) (*emptypb.Empty, error) {
	if s.telemetry == nil {
		return new(emptypb.Empty), nil
	}
	return new(emptypb.Empty), s.telemetry(ctx, in)
}

func (s *deviceEvents) RecordHeartbeat(ctx context.Context, in *devicev1.Heartbeat) (*emptypb.Empty, error) {
	if s.heartbeat == nil {
		return new(emptypb.Empty), nil
	}
	return new(emptypb.Empty), s.heartbeat(ctx, in)
}

func (s *deviceEvents) GetDeviceState(ctx context.Context, in *devicev1.GetDeviceStateRequest) (*devicev1.DeviceState, error) {
	if s.state == nil {
		return &devicev1.DeviceState{DeviceId: in.GetDeviceId(), Online: true}, nil
	}
	return s.state(ctx, in)
}
