package mqtt_test

import (
	"context"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/kratos-mqtt/kratos-mqtt/event/deadletter"
	"github.com/kratos-mqtt/kratos-mqtt/event/dedup"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
)

// busyWindow is a dedup window that another process uses, too. While busy is set, the
// other process handles the id "slow".
type busyWindow struct {
	dedup.BatchWindow
	busy  atomic.Bool
	whole bool // reports busy for the whole batch instead of the id
	asked atomic.Int64
}

func (w *busyWindow) has(id string) bool { return w.busy.Load() && strings.HasSuffix(id, ":slow") }

func (w *busyWindow) Once(ctx context.Context, id string, effect func(context.Context) error) (bool, error) {
	if w.has(id) {
		w.asked.Add(1)
		return false, dedup.ErrRunning
	}
	return w.BatchWindow.Once(ctx, id, effect)
}

func (w *busyWindow) OnceEach(ctx context.Context, ids []string, effect dedup.EachEffect) ([]dedup.Outcome, error) {
	slow := slices.IndexFunc(ids, w.has)
	switch {
	case slow < 0:
		return w.BatchWindow.OnceEach(ctx, ids, effect)
	case w.whole:
		return nil, dedup.ErrRunning
	}
	others := slices.Delete(slices.Clone(ids), slow, slow+1)
	outcomes, err := w.BatchWindow.OnceEach(ctx, others, func(ctx context.Context, fresh []int) ([]error, error) {
		for n := range fresh {
			if fresh[n] >= slow {
				fresh[n]++
			}
		}
		return effect(ctx, fresh)
	})
	return slices.Insert(outcomes, slow, dedup.Outcome{Err: dedup.ErrRunning}), err
}

// If the id of a message is being handled by another process, only this message waits:
// neither its batch nor an attempt fails. Later messages of its topic follow it.
func TestBatchDoesNotWaitForAnID(t *testing.T) {
	t.Parallel()
	for name, whole := range map[string]bool{"of the id": false, "of the batch": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := memoryTexts(t)
			inner, ok := s.window.(dedup.BatchWindow)
			if !ok {
				t.Fatal("the window takes no batches")
			}
			w := &busyWindow{BatchWindow: inner, whole: whole}
			w.busy.Store(true)
			letters := deadletter.NewMemory(0)
			_, publish := batchedTexts(t, w, 3, letters, s.save)
			publish("a", "slow", "b")
			mqtttest.Eventually(t, patience, func() bool { return w.asked.Load() > 2 }, "it is not asked for again")
			w.busy.Store(false)
			mqtttest.Eventually(t, patience, func() bool { return len(s.texts(t)) == 3 }, "not all are stored")
			got := s.texts(t)
			slices.Sort(got)
			stats, err := letters.Stats(t.Context())
			if want := []string{"a", "b", "slow"}; !slices.Equal(got, want) || err != nil || stats.Dead > 0 {
				t.Errorf("stored %q, want %q; %d dead letters, %v", got, want, stats.Dead, err)
			}
		})
	}
}
