package session

import (
	"testing"
	"testing/synctest"
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

// A broker that restarts several times within seconds does not keep idle clients
// away for longer each time. One that ends each connection soon does.
func TestAConnectionThatLastsLongerThanTheOutageEndsIt(t *testing.T) {
	t.Parallel()
	const shortest, times = 200 * time.Millisecond, 10
	for name, tc := range map[string]struct {
		refused    int           // attempts during each outage
		away, life time.Duration // of each outage, and of the connection after it
		ends       bool
	}{
		"restarts":                   {3, time.Second, time.Second, true},
		"crashes sooner each time":   {3, time.Second, time.Second - 1, false},
		"ends what it accepts":       {0, time.Millisecond, 2*shortest - 1, false},
		"ends it after a short time": {0, time.Millisecond, 2 * shortest, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				v := newSupervisor(&Session{cfg: Config{MinReconnectDelay: shortest, MaxReconnectDelay: time.Minute}})
				idle := new(conn)
				idle.evidence.life = tc.life
				for n := range times {
					time.Sleep(tc.away + tc.life) //nolint:forbidigo // fake time
					v.failures += tc.refused
					v.account(idle)
					failures, outage := 1, time.Duration(0)
					if !tc.ends {
						failures, outage = (n+1)*(tc.refused+1), time.Duration(n+1)*tc.away
					}
					if down := time.Since(v.outage); v.failures != failures || down != outage {
						t.Fatalf("%d failures within %v after %d connections, want %d within %v", v.failures, down, n+1, failures, outage)
					}
				}
			})
		})
	}
}
