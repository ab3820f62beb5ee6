package delivery

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event"
)

// Attempts that an open breaker made do not count against the bound for parked messages: they
// were the breaker's, and a message that is not tried any more must have been tried while
// others succeeded.
func TestBreakerAttemptsDoNotCountForParking(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		parked := make(map[string]int)
		var r *rig
		r = newRig(t, 1, func(p *Policy[string]) {
			p.MaxAttempts, p.Exhausted = 1, event.ExhaustedPark
			p.Park = func(_ context.Context, m string, _ error, attempts int) error {
				r.set(func() { parked[m] = attempts })
				return nil
			}
		})
		r.set(func() { r.down, r.bad["e"] = true, errBoom })
		r.send("a", "b", "c", "d", "e")
		wait(time.Minute)
		tries := 0
		r.set(func() {
			for _, m := range r.tried {
				if m == "e" {
					tries++
				}
			}
			r.down = false
		})
		if tries < 10 {
			t.Fatalf("%d attempts at the last message during a minute of outage", tries)
		}
		r.send("f")
		wait(time.Minute)
		r.set(func() {
			if len(parked) != 5 || parked["a"] != 1 || parked["e"] > 1 || len(r.handled) != 1 {
				t.Errorf("parked after %v attempts, want 1 of each at most; handled %v", parked, r.handled)
			}
		})
	})
}
