package queue_test

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/queue"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// Values that are added while others are processed form the next batch, in
// order.
func TestQueueWorksOffInOrder(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		let := make(chan struct{})
		var batches [][]int
		q := queue.New(func(batch []int) {
			<-let
			batches = append(batches, batch)
		})
		q.Add(1)
		synctest.Wait()
		q.Add(2)
		q.Add(3, 4)
		if !q.Busy() {
			t.Error("not busy")
		}
		close(let)
		q.Wait(t.Context(), 0)
		if q.Busy() || len(batches) != 2 || !slices.Equal(batches[0], []int{1}) || !slices.Equal(batches[1], []int{2, 3, 4}) {
			t.Errorf("busy %t, %v", q.Busy(), batches)
		}
	})
}

func TestQueueWaitsNoLongerThanItsGrace(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		let := make(chan struct{})
		q := queue.New(func([]int) { <-let })
		q.Wait(t.Context(), time.Hour) // the queue is empty
		q.Add(1)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		for _, grace := range []time.Duration{0, time.Minute} {
			began := time.Now()
			q.Wait(ctx, grace)
			if waited := time.Since(began); waited > time.Second+grace || waited < grace {
				t.Errorf("waited %v with a grace of %v", waited, grace)
			}
		}
		close(let)
		q.Wait(t.Context(), 0)
	})
}
