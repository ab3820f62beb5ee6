package faultmatrix_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest/broker"
)

// Row 47: an endless stream of forbidden publishes, to one topic and to ever new topics of one
// rule. After the first ones the others are refused without being sent, so that callers that
// wait for each of their publishes keep their pace.
func TestFault_47_StreamOfForbiddenPublishes(t *testing.T) {
	t.Parallel()
	for name, topic := range map[string]func(prefix string, n int64) string{
		"one topic":  func(prefix string, _ int64) string { return prefix + "/x" },
		"new topics": func(prefix string, n int64) string { return fmt.Sprintf("%s/%d", prefix, n) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			eachVersion(t, func(h *harness) {
				b := mqtttest.InProcess(h)
				forbidden := h.name + "/forbidden"
				cuts := b.Inject(broker.Fault{Direction: broker.ToBroker, Type: broker.Publish, Filter: func(topic string) bool { return strings.HasPrefix(topic, forbidden+"/") }, Do: broker.End(0)})
				sub := h.newSubscriber(b.URL(), "-sub")
				f := h.newFlow(sub)
				sub.run()
				p := h.publisher(b.URL(), "-pub", mqttbroker.WithConnectRetryInterval(200*time.Millisecond), mqttbroker.WithMaxReconnectInterval(30*time.Second))
				ctx, stop := context.WithCancel(h.within(2 * time.Minute))
				defer stop()
				callers := p.callers(ctx)
				before := callers.rate(flowWindow)
				var bad stream
				var n atomic.Int64
				next := func() string { return topic(forbidden, n.Add(1)) }
				first, until := context.WithCancel(ctx)
				all := bad.run(first, p, next)
				h.eventually(func() error { return atLeast("refused without being sent", int(bad.held.Load()), 10) })
				until()
				all.Wait()
				h.figure("connections until a stream is held back", cuts.Applied())
				f.unharmed(p, func() {
					ctx, end := context.WithTimeout(ctx, flowWindow)
					defer end()
					all := bad.run(ctx, p, next)
					during := callers.rate(flowWindow)
					all.Wait()
					h.figure("four callers beside a stream keep", fmt.Sprintf("%.0f %% of %.0f/s", 100*during/before, before))
				})
				stop()
				callers.all.Wait()
				sent := bad.refused.Load() - bad.held.Load()
				h.figure("forbidden publishes of which few are sent", fmt.Sprintf("%d of %d, %d connections", sent, bad.refused.Load(), cuts.Applied()))
				// One is let through after 1 s, 2 s, 4 s, 8 s...; each is convicted by its second end.
				if most := int64(4 + convictedBefore); sent > most || cuts.Applied() > 5*convictedBefore+3*4 {
					h.Errorf("%d were sent, for %d connections", sent, cuts.Applied())
				}
				if bad.wrong.Load() > 0 || callers.failed.Load() > 0 {
					h.Errorf("%d forbidden ones were not refused, %d others failed", bad.wrong.Load(), callers.failed.Load())
				}
				h.noTakeover()
			})
		})
	}
}

// convictedBefore is how many are convicted before the others are held back: two of one
// topic and one that was in flight, or three of different topics.
const convictedBefore = 5

// stream is a caller of forbidden publishes.
type stream struct{ refused, held, wrong atomic.Int64 }

func (s *stream) run(ctx context.Context, p *publisher, topic func() string) *sync.WaitGroup {
	var all sync.WaitGroup
	for range 2 {
		all.Go(func() {
			tick := time.NewTicker(2 * flowPace)
			defer tick.Stop()
			for ctx.Err() == nil {
				err := p.publish(ctx, topic(), id(1))
				var e *event.Error
				switch {
				case ctx.Err() != nil:
				case !errors.As(err, &e) || e.Reason != event.ReasonRefused:
					s.wrong.Add(1)
				case e.RetryAfter > 0:
					s.held.Add(1)
					fallthrough
				default:
					s.refused.Add(1)
				}
				<-tick.C
			}
		})
	}
	return &all
}

// callers are four callers that wait for each of their publishes, at a pace far below what
// the machine can do.
type callers struct {
	done, failed atomic.Int64
	all          sync.WaitGroup
}

func (p *publisher) callers(ctx context.Context) *callers {
	s := new(callers)
	for i := range 4 {
		s.all.Go(func() {
			tick := time.NewTicker(flowPace)
			defer tick.Stop()
			for ; ctx.Err() == nil; <-tick.C {
				if err := p.publish(ctx, fmt.Sprintf("%s/free/%d", p.h.name, i), id(2)); err == nil {
					s.done.Add(1)
				} else if ctx.Err() == nil {
					s.failed.Add(1)
				}
			}
		})
	}
	return s
}

// rate returns how many publishes were acknowledged per second.
func (s *callers) rate(d time.Duration) float64 {
	n, began := s.done.Load(), time.Now()
	<-time.After(d)
	return float64(s.done.Load()-n) / time.Since(began).Seconds()
}
