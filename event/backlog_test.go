package event_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event"
)

// ours subscribes to one topic.
type ours struct{ granted bool }

func (o *ours) SubscriptionState() event.SubscriptionState {
	return event.SubscriptionState{Session: 1, Granted: o.granted}
}
func (*ours) WatchSubscriptions(func(event.SubscriptionState)) func() { return func() {} }
func (*ours) ConfirmSubscriptions(context.Context) error              { return nil }
func (*ours) Subscribes(topic string) bool                            { return topic == "own" }
func handledInfo(topic string, n int) event.HandleInfo {
	return event.HandleInfo{Delivery: sized(topic, n)}
}

func sized(topic string, n int) event.Delivery { return event.Delivery{Topic: topic, Size: n} }

func TestBacklogIsBounded(t *testing.T) {
	t.Parallel()
	b, rooms := event.NewBacklog(100), 0
	b.OnRoom(func() { rooms++ })
	if !b.Take("own", 1000) || b.Bytes() != 0 {
		t.Error("it bounds before it follows anybody")
	}
	b.Follow(&ours{granted: true}, func() bool { return true })
	if !b.Take("other", 1000) || b.Bytes() != 0 {
		t.Error("what others subscribe to is counted")
	}
	for range 4 { // of 3 + 22 bytes
		if !b.Take("own", 22) {
			t.Error("refused below the limit")
		}
	}
	if b.Take("own", 22) || b.Bytes() != 100 {
		t.Errorf("taken at %d bytes", b.Bytes())
	}
	b.OnHandle(event.HandleInfo{Delivery: sized("own", 22), Err: errors.New("again")})
	b.OnHandle(handledInfo("other", 22)) // nobody here has sent it
	if b.Bytes() != 100 || rooms != 0 {
		t.Errorf("%d bytes after what is not handled, told of room %d times", b.Bytes(), rooms)
	}
	b.OnHandle(handledInfo("own", 22))
	b.OnDeadLetter(event.DeadLetterInfo{Delivery: sized("own", 22)})
	b.OnPark(event.ParkInfo{Delivery: sized("own", 22)})
	if b.Bytes() != 25 || rooms != 1 {
		t.Errorf("%d bytes, told of room %d times", b.Bytes(), rooms)
	}
	b.Return("own", 22)
	b.OnHandle(handledInfo("own", 22)) // of another process, or again
	if b.Bytes() != 0 {
		t.Errorf("%d bytes", b.Bytes())
	}
	if !b.Take("own", 1000) {
		t.Error("one alone is refused")
	}
}

// What never comes back is forgotten, but not while anything is to be handled, or
// while this process is not subscribed.
func TestBacklogForgetsWhatIsLost(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		subs, idle := &ours{granted: true}, true
		b := event.NewBacklog(100)
		b.Follow(subs, func() bool { return idle })
		b.Take("own", 97)
		<-time.After(9 * time.Second)
		if b.Take("own", 97) {
			t.Error("forgotten too early")
		}
		<-time.After(2 * time.Second)
		idle = false
		if b.Take("own", 97) {
			t.Error("forgotten while a handler runs")
		}
		idle, subs.granted = true, false
		if b.Take("own", 97) {
			t.Error("forgotten while not subscribed")
		}
		subs.granted = true
		if !b.Take("own", 97) || b.Bytes() != 100 {
			t.Error("not forgotten")
		}
	})
}
