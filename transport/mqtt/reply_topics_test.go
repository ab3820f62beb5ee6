package mqtt_test

import (
	"context"
	"crypto/tls"
	"strings"
	"testing"
	"time"

	"github.com/tx7do/kratos-transport/broker"

	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
	mqttserver "github.com/kratos-mqtt/kratos-mqtt/transport/mqtt"
)

// ReplyTopics binds response topics to the levels of the request.
func TestReplyTopics(t *testing.T) {
	t.Parallel()
	eachCarrier(t, func(t *testing.T, c carrier) {
		srv := c.server(t, mqttserver.ReplyTopics("answers/{1}/#"))
		if err := mqttserver.RegisterReplier(srv, t.Context(), "rooms/+/double", double); err != nil {
			t.Fatal(err)
		}
		start(t, srv)
		b := c.broker(t)
		r, err := mqttbroker.Request[reading](within(t, patience), b, "rooms/7/double", reading{4}, broker.WithReplyTopic("answers/7/x"))
		if err != nil || r.Celsius != 8 {
			t.Errorf("got %v, %v", r, err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := mqttbroker.Request[reading](ctx, b, "rooms/7/double", reading{4}, broker.WithReplyTopic("answers/8/x")); err == nil {
			t.Error("a reply came on the topic of another room")
		}
		mqtttest.Eventually(t, patience, func() bool { return srv.Health().RepliesDropped == 1 })
	})
}

// WithTLSConfig makes plain addresses an error.
func TestTLSAndAPlainAddress(t *testing.T) {
	t.Parallel()
	srv := mqttserver.NewServer(mqttserver.WithAddress([]string{"mqtt://127.0.0.1:1"}), mqttserver.WithTLSConfig(&tls.Config{MinVersion: tls.VersionTLS12}))
	if err := srv.Start(within(t, patience)); err == nil || !strings.Contains(err.Error(), "mqtts") {
		t.Errorf("got %v, want an error that names mqtts", err)
	}
}
