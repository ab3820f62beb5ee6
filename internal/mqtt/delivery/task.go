package delivery

import (
	"context"
	"time"
)

// Task is one piece of work of a [Scheduler].
type Task interface {
	// Run does the work on a worker. It returns done, or how long to wait
	// before it is run again; until then it holds no worker, its key stays
	// paused and other keys go on. ctx ends when the scheduler is closed; what
	// is not done then is dropped. Run must not panic.
	Run(ctx context.Context) (again time.Duration, done bool)
}

// Item is a task with its place in the order.
type Item struct {
	// Task is the work. An item without one is skipped.
	Task Task
	// Lane groups items, one lane a subscription. nil is a lane without a
	// limit that all such items share. A lane belongs to the scheduler that
	// made it; items of another's are refused.
	Lane *Lane
	// Key orders: items of one lane with the same key run one at a time in the
	// order they were submitted. 0 is no order. See [Scheduler.Key].
	Key uint64
	// Size is what the item counts against MaxBytes, in bytes.
	Size int
	// Origin is whose share of the bounds it takes, see [Scheduler.Over]; 0 is nobody's.
	// See [Scheduler.Key].
	Origin uint64
	// Shares is set where items of other origins have the same handler: then Origin may
	// have all workers but an eighth, and all but an eighth of the limit of Lane, at
	// least one left; its other keys wait for each other, and not for the workers.
	Shares bool
	// Must is set for QoS 1 and 2: the item is accepted also beyond the bounds,
	// because those are bounded by the broker's in-flight window already, and
	// refusing would not have the message delivered again. Without it (QoS 0)
	// an item beyond the bounds is refused.
	Must bool
}
