package mqtt_test

import (
	"strings"
	"testing"

	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/event/deadletter/deadletterfile"
	"github.com/kratos-mqtt/kratos-mqtt/event/dedup/dedupsql"
	"github.com/kratos-mqtt/kratos-mqtt/event/outbox/outboxfile"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
	mqttserver "github.com/kratos-mqtt/kratos-mqtt/transport/mqtt"
)

// A store whose Open failed, with the error ignored, is a nil pointer in an interface.
// Start reports it by name; otherwise the process would panic later on another
// goroutine.
func TestNilStore(t *testing.T) {
	t.Parallel()
	b := mqtttest.InProcess(t)
	for want, opt := range map[string]mqttserver.ServerOption{
		"store for dead letters is a nil *deadletterfile.Store": mqttserver.WithBrokerOptions(mqttbroker.WithDeadLetters((*deadletterfile.Store)(nil))),
		"dedup window is a nil *dedupsql.Window":                mqttserver.WithBrokerOptions(mqttbroker.WithDedup((*dedupsql.Window)(nil))),
		"store of the outbox is a nil *outboxfile.Store":        mqttserver.WithBrokerOptions(mqttbroker.WithOutbox((*outboxfile.Store)(nil))),
	} {
		srv := mqttserver.NewServer(mqttserver.WithAddress([]string{b.URL()}), opt)
		err := srv.Start(t.Context())
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Start is %v, want %q", err, want)
		}
		_ = srv.Stop(t.Context())
	}
}
