package client

import (
	"slices"
	"testing"
	"testing/synctest"

	"github.com/kratos-mqtt/kratos-mqtt/event"
)

// A watcher receives no state twice in a row, also when its goroutine ended in
// between: what changed and changed back before it was reported is not a change.
func TestWatcherReceivesChangesOnly(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var told []event.SubscriptionState
		w := &watcher{f: func(g event.SubscriptionState) { told = append(told, g) }}
		first, second := event.SubscriptionState{}, event.SubscriptionState{Session: 1, Granted: true}
		w.notify(first)
		synctest.Wait()
		w.running = true // as if the goroutine had not looked yet
		w.notify(second)
		w.notify(first)
		w.run()
		w.notify(second)
		synctest.Wait()
		w.stop()
		w.notify(first)
		synctest.Wait()
		if want := []event.SubscriptionState{first, second}; !slices.Equal(told, want) {
			t.Errorf("told %+v, want %+v", told, want)
		}
	})
}
