package mqtt_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"google.golang.org/protobuf/types/known/emptypb"
	_ "modernc.org/sqlite"

	kratosmqttv1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/v1"
	reportv1 "github.com/kratos-mqtt/kratos-mqtt/api/report/v1"
	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/event/dedup/dedupsql"
	"github.com/kratos-mqtt/kratos-mqtt/event/sqltx"
	testbroker "github.com/kratos-mqtt/kratos-mqtt/mqtttest/broker"
	mqttserver "github.com/kratos-mqtt/kratos-mqtt/transport/mqtt"
)

// Tables is a handler that writes in the transaction of the dedup window.
type Tables struct {
	reportv1.UnimplementedReportEventsServer
	handled chan error
}

// SaveEventReport inserts a row. Row and message id commit together, after it has returned nil.
func (t *Tables) SaveEventReport(ctx context.Context, e *reportv1.RealTimeWarehousingData) (*emptypb.Empty, error) {
	_, err := sqltx.From(ctx).ExecContext(ctx, "INSERT INTO reports VALUES ($1)", e.GetEventId())
	return &emptypb.Empty{}, err
}

// OnDuplicate implements event.DuplicateHook.
func (t *Tables) OnDuplicate(event.DuplicateInfo) { t.handled <- errors.New("duplicate") }

// OnHandle implements event.HandleHook.
func (t *Tables) OnHandle(info event.HandleInfo) { t.handled <- info.Err }

// An event that arrives twice has one row: its id is in the same transaction as the row.
func ExampleWithDedup() {
	ctx := context.Background()
	server, err := testbroker.Listen()
	check(err)
	defer server.Close()
	dir, err := os.MkdirTemp("", "dedup")
	check(err)
	defer os.RemoveAll(dir)
	db, err := sql.Open("sqlite", "file:"+filepath.Join(dir, "reports.db")+"?_txlock=immediate&_pragma=busy_timeout(5000)")
	check(err)
	defer db.Close()
	_, err = db.ExecContext(ctx, "CREATE TABLE reports (id TEXT)")
	check(err)
	window, err := dedupsql.New(db, dedupsql.Options{})
	check(err)
	check(window.Migrate(ctx))

	tables := &Tables{handled: make(chan error, 4)}
	srv := mqttserver.NewServer(mqttserver.WithBrokerOptions(
		mqttbroker.WithConnectionConfig(&kratosmqttv1.Connection{Addresses: []string{server.URL()}}), mqttbroker.WithServiceName("reports"),
		mqttbroker.WithDedup(window), mqttbroker.WithHooks(tables), mqttbroker.WithKratosLogger(discard())))
	reportv1.RegisterReportEventsMQTTServer(srv, tables)
	check(srv.Start(ctx))
	defer srv.Stop(ctx)

	events := reportv1.NewReportEventsMQTTClient(mqttbroker.NewClientConn(srv.Broker()))
	for range 2 {
		check(events.SaveEventReport(ctx, &reportv1.RealTimeWarehousingData{EventId: "1"}))
		fmt.Println(<-tables.handled)
	}
	var rows int
	check(db.QueryRowContext(ctx, "SELECT count(*) FROM reports").Scan(&rows))
	fmt.Println("rows:", rows)
	// Output:
	// <nil>
	// duplicate
	// rows: 1
}
