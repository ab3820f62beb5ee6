package patterns

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"

	_ "modernc.org/sqlite"

	reportv1 "github.com/kratos-mqtt/kratos-mqtt/api/report/v1"
	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/event/dedup/dedupsql"
	"github.com/kratos-mqtt/kratos-mqtt/event/sqltx"
	mqttserver "github.com/kratos-mqtt/kratos-mqtt/transport/mqtt"
)

// Store writes up to 200 events in one transaction, which also has their ids (WithDedup).
func Store(ctx context.Context, in []*reportv1.RealTimeWarehousingData) error {
	for _, e := range in {
		if _, err := sqltx.From(ctx).ExecContext(ctx, "INSERT INTO reports VALUES ($1, $2)", e.GetEventId(), e.GetEventName()); err != nil {
			return err // nothing of the transaction is left; each event is then tried by itself
		}
	}
	return nil
}

// RegisterStore has the events of a service stored in batches: a batch is full, or 2 ms old.
func RegisterStore(srv *mqttserver.Server) {
	reportv1.RegisterReportEventsMQTTServer(srv, reportv1.UnimplementedReportEventsServer{}, event.Only("SaveEventReport"),
		reportv1.ReportEvents_SaveEventReport_MQTT_Batch(Store, event.BatchSize(200)))
}

// 300 events arrive twice.
func Example_batchDatabase() {
	ctx := context.Background()
	server := listen()
	defer server.Close()
	db, window, cleanup := openReports()
	defer cleanup()
	srv := newServer(server.URL(), "saver", mqttbroker.WithDedup(window), mqttbroker.WithServiceName("saver"))
	RegisterStore(srv)
	defer start(srv)()

	b, disconnect := connect(server.URL(), "collector")
	defer disconnect()
	events := reportv1.NewReportEventsMQTTClient(mqttbroker.NewClientConn(b))
	for n := range 600 {
		must(events.SaveEventReport(ctx, &reportv1.RealTimeWarehousingData{EventId: fmt.Sprint(n % 300), EventName: "login"}))
	}
	eventually(func() bool { return srv.Health().Duplicates == 300 })
	var rows int
	must(db.QueryRowContext(ctx, "SELECT count(*) FROM reports").Scan(&rows))
	fmt.Println(rows, "rows")
	// Output: 300 rows
}

// openReports creates a database with the tables of the service and of the window.
func openReports() (*sql.DB, *dedupsql.Window, func()) {
	dir, err := os.MkdirTemp("", "batch")
	must(err)
	db, err := sql.Open("sqlite", "file:"+filepath.Join(dir, "reports.db")+"?_txlock=immediate&_pragma=busy_timeout(5000)&_pragma=synchronous(off)")
	must(err)
	_, err = db.ExecContext(context.Background(), "CREATE TABLE reports (id TEXT, name TEXT)")
	must(err)
	window, err := dedupsql.New(db, dedupsql.Options{})
	must(err)
	must(window.Migrate(context.Background()))
	return db, window, func() { _ = db.Close(); _ = os.RemoveAll(dir) }
}
