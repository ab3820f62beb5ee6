package session

import (
	"testing"
	"time"
)

// A client does not reconnect five times a second to a broker that grants
// something and then ends the connection, again and again. A connection that
// lasts resets the pauses.
func TestPausesGrowWhileConnectionsAreBrief(t *testing.T) {
	t.Parallel()
	v := newSupervisor(new(Session))
	brief, lived := new(conn), new(conn)
	brief.useful.Store(true)
	lived.evidence.life = takeoverWindow
	for n := range manyHasty + 2*hastyFailures {
		v.account(brief)
		if n < manyHasty && v.failures != 1 {
			t.Fatalf("%d failures after %d connections", v.failures, n+1)
		}
	}
	if v.failures != hastyFailures+1 {
		t.Errorf("%d failures at the end, want %d", v.failures, hastyFailures+1)
	}
	v.account(lived)
	if v.failures != 0 || v.hasty != 0 || time.Since(v.outage) > time.Minute {
		t.Errorf("%d failures, %d hasty ones after a connection that lived", v.failures, v.hasty)
	}
}
