package command_test

import (
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/tx7do/kratos-transport/broker"

	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/event/message"
	"github.com/kratos-mqtt/kratos-mqtt/operator"
	"github.com/kratos-mqtt/kratos-mqtt/operator/remote"
)

// What brokers retain is listed and cleared by a service.
func TestRetained(t *testing.T) {
	t.Parallel()
	brokers(t, func(t *testing.T, url string) {
		b := mqttbroker.NewBroker(broker.WithAddress(url))
		if err := b.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = b.Disconnect() })
		server := httptest.NewServer(remote.New(operator.New(operator.Options{Retained: b}), "").Handler())
		t.Cleanup(server.Close)
		u := user(t, server.URL)
		for i := range 3 {
			run(t, "", "publish", "-b", url, "-r", "-t", fmt.Sprintf("lamps/%d", i), "on")
		}
		if got := u.run(t, "kratos-mqtt retained list --topic lamps/#"); strings.Count(got, "\n") != 4 || !strings.Contains(got, "lamps/2  2      text     on\n") {
			t.Errorf("%s", got)
		}
		if got := u.run(t, "kratos-mqtt retained clear --topic lamps/# --yes"); got != "cleared 3, 0 failed, 0 held\n" {
			t.Errorf("%s", got)
		}
		if got := u.run(t, "kratos-mqtt retained list --topic lamps/#"); got != "! none\n" {
			t.Errorf("%s", got)
		}
	})
}

// Many messages are cleared by as many calls as it takes, of which an earlier limit ends one.
func TestRetainedOfManyTopics(t *testing.T) {
	t.Parallel()
	p, address := newPlant(t, "")
	p.retained = nil
	for i := range 450 {
		p.retained = append(p.retained, event.RetainedMessage{Message: message.Message{Topic: fmt.Sprintf("lamps/%03d", i), Payload: []byte("on")}})
	}
	u := user(t, address)
	if got := u.run(t, "kratos-mqtt retained clear --all --yes --limit 210"); got != "cleared 210, 0 failed, 0 held\nthere may be more: --cursor lamps/209\n" {
		t.Error(got)
	}
	if got := u.run(t, "kratos-mqtt retained clear --all --yes"); got != "cleared 240, 0 failed, 0 held\n" || len(p.retained) != 0 {
		t.Errorf("%s, %d left", got, len(p.retained))
	}
}
