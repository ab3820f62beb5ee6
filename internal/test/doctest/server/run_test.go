package server

import (
	"context"
	"testing"
	"time"

	"github.com/go-kratos/kratos/v2"
	kerrors "github.com/go-kratos/kratos/v2/errors"
	"github.com/go-kratos/kratos/v2/log"
	"github.com/tx7do/kratos-transport/broker"
	"go.uber.org/goleak"

	kratosmqttv1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/v1"
	reportv1 "github.com/kratos-mqtt/kratos-mqtt/api/report/v1"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
	mqttserver "github.com/kratos-mqtt/kratos-mqtt/transport/mqtt"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var _ = ProviderSet

// patience bounds every wait.
const patience = time.Minute

// Repo is what the use case of a service would be.
type Repo interface {
	Save(ctx context.Context, e *reportv1.RealTimeWarehousingData) error
}

// memory is a Repo whose rows are taken out by the test.
type memory chan *reportv1.RealTimeWarehousingData

func (m memory) Save(_ context.Context, e *reportv1.RealTimeWarehousingData) error {
	m <- e
	return nil
}

// reject is a Repo that can take nothing.
type reject struct{}

func (reject) Save(context.Context, *reportv1.RealTimeWarehousingData) error {
	return kerrors.BadRequest("NO_ROOM", "no row for it")
}

// TestApp runs the server that is shown as part of a Kratos app.
func TestApp(t *testing.T) {
	t.Parallel()
	rows := make(memory, 1)
	srv := newServer(t, mqtttest.InProcess(t).URL(), rows)
	app := kratos.New(kratos.Name("reports"), kratos.Server(srv), kratos.Logger(log.DefaultLogger))
	ended := make(chan error, 1)
	go func() { ended <- app.Run() }()
	mqtttest.Eventually(t, patience, func() error { return srv.WaitReady(t.Context()) })
	publish(t, srv)
	if row := <-rows; row.EventId != "1" {
		t.Errorf("got %v", row)
	}
	if err := app.Stop(); err != nil {
		t.Error(err)
	}
	if err := <-ended; err != nil {
		t.Errorf("the app ended with %v", err)
	}
}

// TestDeadLetter sends a message that no retry helps to the dead letters, and
// reads it there as docs/guide/messages.md shows.
func TestDeadLetter(t *testing.T) {
	t.Parallel()
	srv := newServerOf(t, &kratosmqttv1.Connection{Addresses: []string{mqtttest.InProcess(t).URL()}, Protocol: "3.1.1"}, reject{})
	kept := make(letters, 1)
	if err := registerDeadLetters(srv, kept); err != nil {
		t.Fatal(err)
	}
	start(t, srv)
	publish(t, srv)
	select {
	case l := <-kept:
		if l.Topic != "reports/event" || l.Attempts != 1 || len(l.Payload) == 0 || l.ID == "" || l.Reason == "" || l.Time.IsZero() || l.QoS != 1 {
			t.Errorf("got %+v", l)
		}
	case <-time.After(patience):
		t.Fatal("no dead letter")
	}
}

func newServer(t *testing.T, url string, repo Repo) *mqttserver.Server {
	t.Helper()
	return newServerOf(t, &kratosmqttv1.Connection{Addresses: []string{url}}, repo)
}

func newServerOf(t *testing.T, c *kratosmqttv1.Connection, repo Repo) *mqttserver.Server {
	t.Helper()
	return NewMQTTServer(c, &ReportEvents{repo: repo}, log.DefaultLogger)
}

func start(t *testing.T, srv *mqttserver.Server) {
	t.Helper()
	if err := srv.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := srv.Stop(ctx); err != nil {
			t.Error(err)
		}
	})
}

func publish(t *testing.T, srv *mqttserver.Server) {
	t.Helper()
	err := srv.Publish(t.Context(), "reports/event", broker.NewMessage(&reportv1.RealTimeWarehousingData{EventId: "1"}))
	if err != nil {
		t.Fatal(err)
	}
}

// recorded is a Repo that counts.
type recorded struct{ count *mqtttest.Recorder }

func (r recorded) Save(_ context.Context, e *reportv1.RealTimeWarehousingData) error {
	r.count.Handled(e.EventId)
	return nil
}
