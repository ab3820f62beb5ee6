package mqtt_test

import (
	"context"
	"fmt"
	"sync/atomic"

	kerrors "github.com/go-kratos/kratos/v2/errors"
	"google.golang.org/protobuf/types/known/emptypb"

	reportv1 "github.com/kratos-mqtt/kratos-mqtt/api/report/v1"
	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/event/deadletter"
	mqttserver "github.com/kratos-mqtt/kratos-mqtt/transport/mqtt"
)

// Strict refuses events until its mistake is mended.
type Strict struct {
	*Reports

	mended atomic.Bool
}

// SaveEventReport returns an error that no retry helps, so that the event becomes a dead letter at once.
func (s *Strict) SaveEventReport(ctx context.Context, e *reportv1.RealTimeWarehousingData) (*emptypb.Empty, error) {
	if !s.mended.Load() {
		return nil, kerrors.BadRequest("NO_NAME", "the event has no name")
	}
	return s.Reports.SaveEventReport(ctx, e)
}

// deadLetters is a hook that passes dead letters on.
type deadLetters chan event.DeadLetterInfo

// OnDeadLetter implements event.DeadLetterHook.
func (l deadLetters) OnDeadLetter(info event.DeadLetterInfo) { l <- info }

// An event that failed waits in the store of dead letters. After the cause is mended it is published again.
func ExampleServer_Replay() {
	ctx := context.Background()
	connection, end := listen()
	defer end()
	dead := make(deadLetters, 1)
	srv := mqttserver.NewServer(mqttserver.WithBrokerOptions(
		mqttbroker.WithConnectionConfig(connection), mqttbroker.WithKratosLogger(quiet()), mqttbroker.WithHooks(dead),
		mqttbroker.WithDeadLetters(deadletter.NewMemory(0)))) // deadletterfile and deadlettersql last
	service := &Strict{Reports: newReports()}
	reportv1.RegisterReportEventsMQTTServer(srv, service)
	check(srv.Start(ctx))
	defer srv.Stop(ctx)

	check(reports(srv).SaveEventReport(ctx, &reportv1.RealTimeWarehousingData{EventId: "1"}))
	<-dead
	store, err := srv.DeadLetters()
	check(err)
	list, err := store.List(ctx, deadletter.Query{})
	check(err)
	fmt.Println(list[0].Topic, list[0].Attempts)

	service.mended.Store(true)
	n, err := srv.Replay(ctx) // or by ids; kratos-mqtt letters replay does the same
	fmt.Println(n, err)
	fmt.Println((<-service.saved).GetEventId())
	// Output:
	// reports/event 1
	// 1 <nil>
	// 1
}
