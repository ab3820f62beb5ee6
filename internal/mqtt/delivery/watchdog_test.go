package delivery

import (
	"testing"
	"testing/synctest"
	"time"
)

type overruns struct {
	journal
	start time.Time
}

func (o *overruns) overrun(attempt int, _ uint32) { o.add("%d at %v", attempt, time.Since(o.start)) }

// Attempts begin a second apart with a limit of ten seconds. Some return in
// time, from the front, the middle and the end of the list.
func TestWatchdogReportsWhatIsOverdue(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := watchdog{limit: 10 * time.Second}
		o := &overruns{start: time.Now()}
		var watches [7]*watch
		begin := func(i int) { watches[i] = d.add(o, i, 0, now()+d.limit) }
		for i := range 6 {
			begin(i)
			time.Sleep(time.Second)
		}
		d.remove(watches[3])
		d.remove(watches[0])
		d.remove(watches[5])
		time.Sleep(time.Minute)
		synctest.Wait()
		o.want(t, "1 at 11s", "2 at 12s", "4 at 14s")
		d.remove(watches[1]) // returned at last

		o.start = time.Now()
		begin(6)
		time.Sleep(time.Minute)
		synctest.Wait()
		o.want(t, "1 at 11s", "2 at 12s", "4 at 14s", "6 at 10s")
	})
}
