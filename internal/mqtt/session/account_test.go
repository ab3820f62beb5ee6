package session

import (
	"testing"
	"time"
)

// A broker that grants something and ends the connection, again and again, is
// not asked five times a second; a connection that lived ends that.
func TestPausesGrowWhileConnectionsAreBrief(t *testing.T) {
	t.Parallel()
	s := &Session{}
	var r retries
	brief, lived := new(conn), new(conn)
	brief.useful.Store(true)
	lived.evidence.life = takeoverWindow
	for n := range manyHasty + 2*hastyFailures {
		s.account(brief, &r)
		if n < manyHasty && r.failures != 1 {
			t.Fatalf("%d failures after %d connections", r.failures, n+1)
		}
	}
	if r.failures != hastyFailures+1 {
		t.Errorf("%d failures at the end, want %d", r.failures, hastyFailures+1)
	}
	s.account(lived, &r)
	if r.failures != 0 || r.hasty != 0 || time.Since(r.down) > time.Minute {
		t.Errorf("%+v after one that lived", r)
	}
}
