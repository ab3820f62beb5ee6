package client

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/event/deadletter"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
)

// If an owner does not come back, or no longer subscribes, each message that it parked
// becomes a dead letter once, however many clients share the store. Until then the
// messages are counted.
func TestParkedOfAnOwnerThatIsGone(t *testing.T) {
	t.Parallel()
	store := deadletter.NewMemory(0)
	parked := func(id, owner, filter string, age time.Duration) {
		t.Helper()
		l := &deadletter.Letter{ID: id, State: deadletter.Parked, Owner: owner, Filter: filter, Reason: "the till is closed", Attempts: 3}
		l.Topic, l.Payload, l.QoS = "work/"+id, []byte(id), 1
		l.Received = time.Now().Add(-age)
		l.Until = l.Received.Add(24 * time.Hour)
		if err := store.Put(t.Context(), l); err != nil {
			t.Fatal(err)
		}
	}
	parked("1", "saver-2", "work/+", 48*time.Hour)
	parked("2", "saver-0", "renamed/+", 48*time.Hour)
	parked("3", "saver-2", "work/+", 25*time.Hour) // within the margin
	parked("4", "saver-3", "work/+", time.Minute)
	var told seen
	var clients []*Client
	b := mqtttest.Mosquitto(t)
	for i := range 2 {
		clients = append(clients, running(t, client(t, b.URL(), keepIn(store), func(c *Config) {
			c.ClientID, c.ParkReport = fmt.Sprint("saver-", i), 10*time.Millisecond
			c.Hooks.DeadLettered = func(i event.DeadLetterInfo) {
				told.add("%s %s %d", i.ID, i.Filter, i.Attempt)
			}
		}), on("work/+", idle)))
	}
	eventually(t, func() bool { return statsOf(t, store) == (deadletter.Stats{Dead: 2, Parked: 2}) })
	for _, c := range clients {
		eventually(t, func() bool { return c.Health().ForeignParked == 2 && c.Health().DeadLetterError == nil })
	}
	all := told.wait(t, 2)
	if slices.Sort(all); !slices.Equal(all, []string{"1 work/+ 3", "2 renamed/+ 3"}) {
		t.Errorf("told %v", all)
	}
	list, err := store.List(t.Context(), deadletter.Query{State: deadletter.Dead})
	if err != nil || len(list) != 2 {
		t.Fatalf("%d dead, %v", len(list), err)
	}
	if l := list[0]; string(l.Payload) != "1" || l.Owner != "saver-2" || !strings.Contains(l.Reason, "the till is closed") || !strings.Contains(l.Reason, `"saver-2" did not handle it`) {
		t.Errorf("%+v", l)
	}
	n, err := deadletter.Replay(t.Context(), store, func(context.Context, *deadletter.Letter) error { return nil }, "1", "4")
	if n != 1 || !errors.Is(err, deadletter.ErrParked) {
		t.Errorf("%d replayed, %v", n, err)
	}
}
