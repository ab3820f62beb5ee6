package faultmatrix_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/event/deadletter"
)

// Row 17: a handler blocks for ever. Its context ends at the deadline, the log reports that
// it still runs, its worker stays occupied, and there is no second attempt meanwhile;
// messages of other keys are handled. When the handler finally returns, the message is
// retried.
func TestFault_17_BlockedForEver(t *testing.T) {
	t.Parallel()
	eachVersion(t, func(h *harness) {
		const deadline, messages = 100 * time.Millisecond, 200
		b := h.mosquitto()
		s := h.newSubscriber(b.URL(), "-sub", mqttbroker.WithDeadLetters(deadletter.NewMemory(0)), mqttbroker.WithRelaxedAcks(true))
		release, ended := make(chan struct{}), make(chan error, 1)
		var running, calls atomic.Int64
		s.subscribe(h.name+"/data/+", func(ctx context.Context, topic, payload string) error {
			if strings.HasSuffix(topic, "/blocked") && calls.Add(1) == 1 {
				running.Add(1)
				defer running.Add(-1)
				<-ctx.Done()
				ended <- ctx.Err()
				<-release
				return errors.New("too late")
			}
			if running.Load() > 0 && strings.HasSuffix(topic, "/blocked") {
				h.Error("a second attempt beside the first")
			}
			h.rec.Handled(idOf([]byte(payload)))
			return nil
		}, append(quick(3), mqttbroker.WithSubscribeTimeout(deadline))...)
		s.run()
		p := h.publisher(b.URL(), "-pub")
		p.must(h.name+"/data/blocked", id(1000))
		if err := <-ended; !errors.Is(err, context.DeadlineExceeded) {
			h.Errorf("the context ended with %v", err)
		}
		h.eventually(func() error {
			if !strings.Contains(h.said.text(), "passed its deadline and still runs") {
				return errors.New("nothing in the log")
			}
			return nil
		})
		l := p.load(nil)
		l.sendAll(h.name+"/data", 0, messages)
		l.succeeded()
		h.eventually(func() error {
			if rep := h.rec.Report(); rep.Handled != messages {
				return fmt.Errorf("%d of %d handled beside it", rep.Handled, messages)
			}
			return nil
		})
		if n := s.health().Running; n != 1 {
			h.Errorf("%d running", n)
		}
		close(release)
		h.settled()
		h.eventually(func() error {
			if n := s.health().Running; n != 0 {
				return fmt.Errorf("%d running", n)
			}
			return nil
		})
	})
}
