package e2e

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/internal/test/postgres"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
)

// While the database is down HTTP goes on: reports are accepted into the outbox, or by the broker, up
// to a bound. Beyond it, and if the outbox is in that database, the answer is a 503 in time; if that
// hangs it is a 504. What was accepted is stored afterwards.
func TestIngestDuringAnOutage(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		outbox string
		hangs  bool
		accept bool // before the bound
		bound  string
	}{
		{"file", false, true, "OUTBOX_FULL"},
		{"memory", true, true, "OUTBOX_FULL"},
		{"none", false, true, "SAVER_BEHIND"},
		{"sql", false, false, "OUTBOX_FAILED"},
		{"sql", true, false, "OUTBOX_FAILED"},
	} {
		t.Run(fmt.Sprintf("%s hangs %t", c.outbox, c.hangs), func(t *testing.T) {
			t.Parallel()
			const room = 500
			server := privatePostgres(t)
			db := postgresOf(t, server, "")
			config := changed(t, "config.yaml",
				"    concurrency: 16\n", "    concurrency: 16\n    breaker: {pause: 1s}\n",
				"  # Where messages wait for the broker: file", "  max_unsaved_bytes: 40000\n  # Where messages wait for the broker: file",
				`    path: "${KM_OUTBOX_PATH:../data/outbox.db}"`+"\n", fmt.Sprintf("    path: \"${KM_OUTBOX_PATH:../data/outbox.db}\"\n    max_entries: %d\n", room))
			s := start(t, config, append(db.env, "KM_OUTBOX="+c.outbox)...)
			awaitReady(t, s)
			tab := db.open(t)
			l := newLoad(t, s.base)
			mqtttest.Eventually(t, startTimeout, func() error { return l.postOne(t.Context()) })
			l.wantRows(t, tab)
			up := func() { server.Restart(t) }
			if c.hangs {
				up = server.Freeze(t)
			} else {
				server.Stop(t, postgres.Immediate)
			}
			before, _ := l.count()
			refused, slowest := new(statusError), time.Duration(0)
			for n := 0; ; n++ {
				began := time.Now()
				err := l.postOne(t.Context())
				slowest = max(slowest, time.Since(began))
				if err == nil {
					if n > 20*room {
						t.Fatalf("%d reports are accepted without a bound", n)
					}
					continue
				}
				if !errors.As(err, &refused) {
					t.Fatal(err)
				}
				break
			}
			accepted, _ := l.count()
			t.Logf("%d accepted, then %v; the slowest answer took %v", accepted-before, refused, round(slowest))
			if got := accepted - before; got < 50 && c.accept || got > 0 && !c.accept {
				t.Errorf("%d reports are accepted during the outage", got)
			}
			if refused.code != 503 && !c.hangs || c.accept && refused.retryAfter == "" || !contains(refused.text, c.bound) || slowest > 20*time.Second {
				t.Errorf("got %v, Retry-After %q, after %v", refused, refused.retryAfter, slowest)
			}
			up()
			ended := time.Now()
			mqtttest.Eventually(t, startTimeout, func() error { return l.postOne(t.Context()) })
			t.Logf("accepted again after %v", round(time.Since(ended)))
			l.wantRows(t, tab)
		})
	}
}
