package faultmatrix_test

import (
	"path/filepath"
	"testing"
	"time"

	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/event/outbox/outboxsql"
	"github.com/kratos-mqtt/kratos-mqtt/event/sqltx"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
)

// Row 55: two replicas share one outbox, and the one whose turn it is has no connection. The
// other one sends.
func TestFault_55_TurnWithoutConnection(t *testing.T) {
	t.Parallel()
	eachVersion(t, func(h *harness) {
		const lease = 500 * time.Millisecond
		b := mqtttest.InProcess(h)
		h.subscriber(b.URL(), "-sub", h.name+"/data/+")
		path := filepath.Join(h.TempDir(), "outbox.db")
		options := outboxsql.Options{Dialect: sqltx.SQLite, Lease: lease, Patience: lease / 4}
		way := mqtttest.NewProxy(h, b.URL())
		first := h.publisher(way.URL(), "-first", mqttbroker.WithOutbox(h.sqlOutboxAt(path, options)))
		first.must(h.name+"/data/0", id(0)) // it is this replica's turn
		h.eventually(func() error { return h.rec.Report().Err() })
		way.Refuse(true)
		way.Cut()
		h.eventually(func() error { return eachLost([]*spy{first.spy}) })
		first.must(h.name+"/data/0", ids(1, 5)...) // and something to send
		second := h.publisher(b.URL(), "-second", mqttbroker.WithOutbox(h.sqlOutboxAt(path, options)))
		began := time.Now()
		second.must(h.name+"/data/1", ids(6, 5)...)
		h.eventually(func() error { return h.rec.Report().Err() })
		took := time.Since(began)
		h.figure("with the first replica cut off the second sends after", took.Round(time.Millisecond))
		if took > 4*lease+slack {
			h.Errorf("the second sent after %v, a lease is %v", took, lease)
		}
		way.Refuse(false)
	})
}
