package client

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/kratos-mqtt/kratos-mqtt/event/deadletter"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
)

// A retained letter that was written on MQTT 5 has its properties only there. On MQTT 3.1.1
// it is listed as unreadable instead of being left out.
func TestRetainedLetterOfTheOtherVersion(t *testing.T) {
	t.Parallel()
	b := mqtttest.InProcess(t)
	s := on("work", func(context.Context, *Delivery) error { return errors.New("bad") })
	s.MaxAttempts = 1
	c := running(t, client(t, b.URL(), speaking(Version5)), s)
	publish(t, c, "work", 1, "x")
	eventually(t, func() bool { return len(b.Retained()) == 1 && c.Health().Running == 0 })
	if err := c.Stop(within(t, patience)); err != nil {
		t.Fatal(err)
	}
	c = running(t, client(t, b.URL(), speaking(Version31)), on("other", ignore))
	list, err := c.DeadLetters().List(within(t, patience), deadletter.Query{})
	if err != nil || len(list) != 1 || string(list[0].Payload) != "x" || !strings.Contains(list[0].Reason, "cannot be read") {
		t.Fatalf("%+v, %v", list, err)
	}
	none := func(context.Context, *deadletter.Letter) error { return errors.New("published") }
	if _, err := deadletter.Replay(within(t, patience), c.DeadLetters(), none, list[0].ID); !errors.Is(err, deadletter.ErrDamaged) {
		t.Errorf("replay: %v", err)
	}
}
