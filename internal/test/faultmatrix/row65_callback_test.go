package faultmatrix_test

import (
	"context"
	"errors"
	"testing"
	"time"

	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
)

// Row 65: functions supplied by the user hang or panic. Stop keeps its time limit.
func TestFault_65_HangingCallback(t *testing.T) {
	t.Parallel()
	eachVersion(t, func(h *harness) {
		b := mqtttest.InProcess(h)
		asked, hang := make(chan struct{}, 100), make(chan struct{})
		h.Cleanup(func() { close(hang) })
		p := h.newPublisher(b.URL(), "-pub", mqttbroker.WithCredentials(func(context.Context) (string, string, error) {
			asked <- struct{}{}
			<-hang // ignores its context
			return "", "", errors.New("too late")
		}))
		go func() { _ = p.connect() }()
		<-asked
		began := time.Now()
		_ = p.close(time.Second)
		if took := time.Since(began); took > time.Second+slack {
			h.Errorf("Close with a second took %v", took)
		}
		panics := h.newPublisher(b.URL(), "-panics", mqttbroker.WithCredentials(func(context.Context) (string, string, error) {
			panic("no credentials today")
		}))
		_ = panics.connect()
		if err := panics.close(time.Second); err != nil {
			h.Log(err)
		}
	})
}
