package server

import (
	"context"
	"testing"
	"time"

	kerrors "github.com/go-kratos/kratos/v2/errors"
	"github.com/go-kratos/kratos/v2/transport"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"

	devicev1 "github.com/kratos-mqtt/kratos-mqtt/api/device/v1"
	reportv1 "github.com/kratos-mqtt/kratos-mqtt/api/report/v1"
)

// called is a transport with an operation.
type called struct {
	transport.Transporter
	operation string
}

func (c called) Operation() string { return c.operation }

// Only a bounded number of lists is computed at the same time; others wait, and are
// refused with Retry-After when their time is over. Reports are accepted meanwhile.
func TestReads(t *testing.T) {
	t.Parallel()
	room := NewRoom()
	running, end, ended := make(chan bool), make(chan bool), make(chan error)
	call := func(ctx context.Context, operation string) error {
		handler := room.queueReads()(func(context.Context, any) (any, error) {
			running <- true
			<-end
			return nil, nil
		})
		_, err := handler(transport.NewServerContext(ctx, called{operation: operation}), nil)
		return err
	}
	list := func(ctx context.Context) { ended <- call(ctx, reportv1.OperationReportServiceListReports) }
	for range maxReads {
		go list(t.Context())
		<-running
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if e := kerrors.FromError(call(ctx, devicev1.OperationDeviceServiceGetDeviceState)); e == nil || e.Code != 503 || !forNow(e) {
		t.Errorf("got %v", e)
	}
	go func() { ended <- call(t.Context(), reportv1.OperationReportServicePostReport) }()
	<-running
	go list(t.Context()) // waits
	end <- true
	end <- true
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
	for range maxReads {
		select {
		case <-running:
			end <- true
		case end <- true:
		}
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
}

// The memory for an answer follows from the type of its message.
func TestAnswerMemory(t *testing.T) {
	t.Parallel()
	sensors := &structpb.Struct{Fields: map[string]*structpb.Value{"a": {}}}
	for _, c := range []struct {
		m     proto.Message
		grows int
	}{
		{&reportv1.ListReportsReply{Reports: []*reportv1.RealTimeWarehousingData{{EventId: "e"}}}, 8},
		{&devicev1.ListAlertsReply{Alerts: []*devicev1.Alert{{EventId: "e"}}}, 8},
		{&devicev1.ListTelemetryReply{Telemetry: []*devicev1.Telemetry{{Sensors: sensors}}}, 64},
		{&devicev1.DeviceState{LastTelemetry: &devicev1.Telemetry{Sensors: sensors}}, 64},
	} {
		if got, want := answerMemory(c.m), c.grows*proto.Size(c.m); got != want {
			t.Errorf("%T: %d, want %d", c.m, got, want)
		}
	}
}
