package client

import (
	"slices"
	"testing"
	"testing/synctest"

	"github.com/kratos-mqtt/kratos-mqtt/event"
)

// A watcher receives no state twice in a row, also when its goroutine ended in
// between: what changed and changed back before it was reported is not a change.
func TestWatcherIsToldOfChangesOnly(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var told []event.Granted
		w := &watcher{f: func(g event.Granted) { told = append(told, g) }}
		first, second := event.Granted{}, event.Granted{Session: 1, All: true}
		w.tell(first)
		synctest.Wait()
		w.running = true // as if the goroutine had not looked yet
		w.tell(second)
		w.tell(first)
		w.run()
		w.tell(second)
		synctest.Wait()
		w.stop()
		w.tell(first)
		synctest.Wait()
		if want := []event.Granted{first, second}; !slices.Equal(told, want) {
			t.Errorf("told %+v, want %+v", told, want)
		}
	})
}
