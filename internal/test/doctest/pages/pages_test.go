// Package pages is the code at the beginning of the documentation of our packages.
package pages

import (
	"context"
	"errors"
	"io"
	"testing"
	"time"

	"github.com/go-kratos/kratos/v2/log"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/metric/noop"
	"go.uber.org/goleak"
	"google.golang.org/protobuf/types/known/emptypb"

	kratosmqttv1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/v1"
	reportv1 "github.com/kratos-mqtt/kratos-mqtt/api/report/v1"
	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest/eventfake"
	"github.com/kratos-mqtt/kratos-mqtt/observe"
	"github.com/kratos-mqtt/kratos-mqtt/operator"
	mqttserver "github.com/kratos-mqtt/kratos-mqtt/transport/mqtt"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience bounds every wait.
const patience = time.Minute

// reports is the service of the pages.
type reports struct {
	reportv1.UnimplementedReportEventsServer
	saved chan string
	err   error
}

func newReports() *reports { return &reports{saved: make(chan string, 10)} }

func (r *reports) SaveEventReport(_ context.Context, e *reportv1.RealTimeWarehousingData) (*emptypb.Empty, error) {
	r.saved <- e.GetEventId()
	return &emptypb.Empty{}, r.err
}

func publish(ctx context.Context, c *kratosmqttv1.Settings, logger log.Logger, report *reportv1.RealTimeWarehousingData) error {
	b, cleanup, err := mqttbroker.Open(c, nil, logger) // a broker that is down is not an error
	if err != nil {
		return err
	}
	defer cleanup()
	events := reportv1.NewReportEventsMQTTClient(mqttbroker.NewClientConn(b))
	return events.SaveEventReport(ctx, report) // nil: the broker has acknowledged it
}

func serve(c *kratosmqttv1.Settings, logger log.Logger, reports reportv1.ReportEventsMQTTServer) *mqttserver.Server {
	srv := mqttserver.Open(c, nil, logger)
	reportv1.RegisterReportEventsMQTTServer(srv, reports) // a handler acknowledges by returning nil
	return srv                                            // for kratos.Server(srv)
}

func send(ctx context.Context, srv event.ServiceRegistrar, conn event.ClientConn, reports reportv1.ReportEventsMQTTServer, report *reportv1.RealTimeWarehousingData) error {
	reportv1.RegisterReportEventsMQTTServer(srv, reports, event.Group("savers"))

	events := reportv1.NewReportEventsMQTTClient(conn)
	err := events.SaveEventReport(ctx, report, event.Header("tenant", "t1"), event.Expiry(time.Hour))
	if event.ReasonOf(err) == event.ReasonNotConnected {
		return errors.New("the broker is down")
	}
	return err
}

func observed(c *kratosmqttv1.Settings, logger log.Logger, reports reportv1.ReportEventsMQTTServer, provider metric.MeterProvider) (*mqttserver.Server, error) {
	metrics, err := observe.NewMetrics(provider)
	if err != nil {
		return nil, err
	}
	srv := mqttserver.Open(c, nil, logger, mqttserver.WithBrokerOptions(mqttbroker.WithHooks(metrics)))
	reportv1.RegisterReportEventsMQTTServer(srv, reports)
	metrics.Watch(srv)
	return srv, nil
}

func repair(ctx context.Context, srv *mqttserver.Server, reports reportv1.ReportEventsMQTTServer) (operator.Page, error) {
	reportv1.RegisterReportEventsMQTTServer(srv, reports)
	calls := operator.New(operator.Options{Source: srv, Parked: srv, Outbox: srv, Subscriptions: srv})

	return calls.List(ctx, operator.Query{Criteria: operator.Criteria{Operation: "/report.v1.ReportEvents/SaveEventReport"}})
}

func TestReports(t *testing.T) {
	logger, reports := log.NewStdLogger(io.Discard), newReports()
	c := &kratosmqttv1.Settings{Connection: &kratosmqttv1.Connection{Addresses: []string{mqtttest.InProcess(t).URL()}}}
	srv := mqttserver.Open(c, nil, logger)
	reportv1.RegisterReportEventsMQTTServer(srv, reports)
	if err := srv.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer srv.Stop(context.Background())
	events := reportv1.NewReportEventsMQTTClient(mqttbroker.NewClientConn(srv.Broker()))
	if err := events.SaveEventReport(t.Context(), &reportv1.RealTimeWarehousingData{EventId: "1"}); err != nil {
		t.Fatal(err)
	}
	if id := <-reports.saved; id != "1" {
		t.Errorf("saved %s", id)
	}
}

// TestPages runs the code of the other pages: an event is published, observed, handled, and becomes a
// dead letter that the operator lists.
func TestPages(t *testing.T) {
	t.Parallel()
	b, logger := mqtttest.InProcess(t), log.NewStdLogger(io.Discard)
	c := &kratosmqttv1.Settings{Connection: &kratosmqttv1.Connection{Addresses: []string{b.URL()}, Protocol: "5"}}
	report := &reportv1.RealTimeWarehousingData{EventId: "1"}
	for name, open := range map[string]func(s *reports) (*mqttserver.Server, error){
		"served":   func(s *reports) (*mqttserver.Server, error) { return serve(c, logger, s), nil },
		"observed": func(s *reports) (*mqttserver.Server, error) { return observed(c, logger, s, noop.NewMeterProvider()) },
	} {
		s := newReports()
		srv, err := open(s)
		if err != nil {
			t.Fatal(name, err)
		}
		start(t, srv)
		if err := publish(t.Context(), c, logger, report); err != nil {
			t.Fatal(name, err)
		}
		receive(t, s.saved)
	}

	failing := newReports()
	failing.err = event.Permanent(errors.New("no row for it"))
	operated := mqttserver.Open(c, nil, logger)
	if _, err := repair(t.Context(), operated, failing); event.ReasonOf(err) != event.ReasonNotConnected {
		t.Errorf("before Start: %v", err)
	}
	start(t, operated)
	if err := publish(t.Context(), c, logger, report); err != nil {
		t.Fatal(err)
	}
	receive(t, failing.saved)
	mqtttest.Eventually(t, patience, func() bool {
		page, err := operator.New(operator.Options{Source: operated}).List(t.Context(), operator.Query{})
		return err == nil && len(page.Letters) == 1
	})

	conn := eventfake.New(t)
	if err := send(t.Context(), mqttserver.Open(c, nil, logger), conn, newReports(), report); err != nil {
		t.Fatal(err)
	}
	conn.Want("reports/event", report, event.Header("tenant", "t1"), event.Expiry(time.Hour))
}

func start(t *testing.T, srv *mqttserver.Server) {
	t.Helper()
	if err := srv.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = srv.Stop(context.Background()) })
}

func receive(t *testing.T, from <-chan string) {
	t.Helper()
	select {
	case <-from:
	case <-time.After(patience):
		t.Fatal("nothing arrived")
	}
}
