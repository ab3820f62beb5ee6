package link

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestWatchdog(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var expired time.Time
		w := newWatchdog(time.Second, func() { expired = time.Now() }, func() bool { return false })
		defer w.stop()
		time.Sleep(time.Minute) //nolint:forbidigo // fake time
		for range 1000 {        // quick writes, long and short pauses
			w.begin()
			time.Sleep(900 * time.Millisecond) //nolint:forbidigo // fake time
			w.end()
			time.Sleep(700 * time.Millisecond) //nolint:forbidigo // fake time
		}
		time.Sleep(time.Hour) //nolint:forbidigo // fake time
		synctest.Wait()
		if !expired.IsZero() || w.armed.Load() {
			t.Fatal("quick writes expire, or the timer runs without a write")
		}
		for _, idle := range []time.Duration{0, 1, 500 * time.Millisecond, time.Second, time.Hour} {
			w.begin()
			w.end()
			time.Sleep(idle) //nolint:forbidigo // fake time
			begun := time.Now()
			w.begin()
			time.Sleep(time.Minute) //nolint:forbidigo // fake time
			synctest.Wait()
			if got := expired.Sub(begun); got != time.Second {
				t.Errorf("after %v idle: expired after %v", idle, got)
			}
			w.end()
		}
	})
}
