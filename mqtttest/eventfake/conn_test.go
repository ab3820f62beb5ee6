package eventfake_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	devicev1 "github.com/kratos-mqtt/kratos-mqtt/api/device/v1"
	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest/eventfake"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const getState = "/device.v1.DeviceEvents/GetDeviceState"

func command() *devicev1.Command {
	return &devicev1.Command{CommandId: "7", DeviceId: "gate-1", Name: "open"}
}

// TestWant compares one call with what a test may want: each difference is reported.
func TestWant(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		opts []event.CallOption // of the call
		want func(conn *eventfake.Conn)
		line string // "" means no failure
	}{
		"as declared": {want: func(conn *eventfake.Conn) { conn.Want("devices/gate-1/commands", command()) }},
		"with options": {
			opts: []event.CallOption{event.Header("b", "2"), event.Header("a", "1"), event.QoS(1), event.Expiry(time.Minute)},
			want: func(conn *eventfake.Conn) {
				conn.Want("devices/gate-1/commands", command(), event.Expiry(time.Minute), event.QoS(1), event.Header("a", "1"), event.Header("b", "2"))
			},
		},
		"topic":   {want: func(conn *eventfake.Conn) { conn.Want("devices/gate-2/commands", command()) }, line: "topic devices/gate-1/commands, want devices/gate-2/commands"},
		"message": {want: func(conn *eventfake.Conn) { conn.Want("devices/gate-1/commands", &devicev1.Command{}) }, line: "message device.v1.Command"},
		"QoS":     {opts: []event.CallOption{event.QoS(0)}, want: func(conn *eventfake.Conn) { conn.Want("devices/gate-1/commands", command()) }, line: "QoS 0, want 2"},
		"id":      {opts: []event.CallOption{event.ID("8")}, want: func(conn *eventfake.Conn) { conn.Want("devices/gate-1/commands", command()) }, line: "id 8, want 7"},
		"headers": {opts: []event.CallOption{event.Header("a", "1")}, want: func(conn *eventfake.Conn) { conn.Want("devices/gate-1/commands", command()) }, line: "headers [{a 1}], want []"},
		"retain":  {opts: []event.CallOption{event.Retain(true)}, want: func(conn *eventfake.Conn) { conn.Want("devices/gate-1/commands", command()) }, line: "retain true, want false"},
		"unrouted": {
			opts: []event.CallOption{event.RetryUnrouted(time.Hour)}, want: func(conn *eventfake.Conn) { conn.Want("devices/gate-1/commands", command()) },
			line: "want as configured",
		},
		"none": {want: func(conn *eventfake.Conn) { conn.WantNone() }, line: "not wanted: /device.v1.DeviceEvents/SendCommand on devices/gate-1/commands"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := new(failures)
			conn := eventfake.New(f)
			in := command()
			if err := devicev1.NewDeviceEventsMQTTClient(conn).SendCommand(t.Context(), in, c.opts...); err != nil {
				t.Fatal(err)
			}
			in.Name = "changed after the call"
			c.want(conn)
			failed := strings.Join(f.found, "\n")
			if (failed == "") != (c.line == "") || !strings.Contains(failed, c.line) {
				t.Errorf("got %q, want %q", failed, c.line)
			}
		})
	}
}

// TestNextWaits takes a call that another goroutine makes later.
func TestNextWaits(t *testing.T) {
	t.Parallel()
	conn := eventfake.New(t)
	done := make(chan error, 1)
	go func() {
		done <- devicev1.NewDeviceEventsMQTTClient(conn).SendCommand(context.Background(), command())
	}()
	conn.Want("devices/gate-1/commands", command())
	conn.WantNone()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// TestRefused makes calls that no connection accepts.
func TestRefused(t *testing.T) {
	t.Parallel()
	over, cancel := context.WithCancel(t.Context())
	cancel()
	late, cancel := context.WithDeadline(t.Context(), time.Unix(0, 0))
	defer cancel()
	for _, c := range []struct {
		ctx  context.Context
		opt  event.CallOption
		want event.Reason
	}{
		{over, nil, event.ReasonCanceled},
		{late, nil, event.ReasonTimeout},
		{t.Context(), event.QoS(3), event.ReasonBadRequest},
		{t.Context(), event.Expiry(-1), event.ReasonBadRequest},
		{t.Context(), event.Topic("devices/#"), event.ReasonBadTopic},
	} {
		conn := eventfake.New(t)
		conn.Fail("/device.v1.DeviceEvents/SendCommand", errors.New("kept for a call that gets so far"))
		err := devicev1.NewDeviceEventsMQTTClient(conn).SendCommand(c.ctx, command(), c.opt)
		if event.ReasonOf(err) != c.want {
			t.Errorf("got %v, want %s", err, c.want)
		}
		if sent := conn.Next(); !errors.Is(sent.Err, err) {
			t.Errorf("recorded %v", sent.Err)
		}
	}
}

// TestRequests answers requests.
func TestRequests(t *testing.T) {
	t.Parallel()
	conn := eventfake.New(t)
	devices := devicev1.NewDeviceEventsMQTTClient(conn)
	ask := func() (*devicev1.DeviceState, error) {
		return devices.GetDeviceState(t.Context(), &devicev1.GetDeviceStateRequest{DeviceId: "gate-1"})
	}
	if _, err := ask(); event.ReasonOf(err) != event.ReasonTimeout || !strings.Contains(err.Error(), getState) {
		t.Errorf("without an answer: %v", err)
	}
	gone := errors.New("gone")
	eventfake.Reply(conn, getState, func(context.Context, *devicev1.GetDeviceStateRequest) (*devicev1.DeviceState, error) {
		return nil, gone
	})
	if _, err := ask(); !errors.Is(err, gone) {
		t.Errorf("err = %v", err)
	}
	eventfake.Reply(conn, getState, func(_ context.Context, in *devicev1.GetDeviceStateRequest) (*devicev1.DeviceState, error) {
		return &devicev1.DeviceState{DeviceId: in.GetDeviceId(), Online: true}, nil
	})
	conn.Fail(getState, nil, gone)
	if state, err := ask(); err != nil || !state.GetOnline() || state.GetDeviceId() != "gate-1" {
		t.Errorf("got %v, %v", state, err)
	}
	if _, err := ask(); !errors.Is(err, gone) {
		t.Errorf("err = %v", err)
	}
	eventfake.Reply(conn, getState, func(context.Context, *devicev1.Command) (*devicev1.DeviceState, error) { return nil, nil })
	if _, err := ask(); event.ReasonOf(err) != event.ReasonCodec {
		t.Errorf("another type: %v", err)
	}
	if n := len(conn.All()); n != 5 {
		t.Errorf("%d calls", n)
	}
}
