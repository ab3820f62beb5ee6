package delivery

import (
	"context"
	"time"
)

// Task is one piece of work of a [Scheduler].
type Task interface {
	// Run does the work on a worker. It returns done, or how long to wait
	// before it is run again; until then it holds no worker, its key stays
	// paused and other keys continue. ctx ends when the scheduler is closed;
	// tasks that are not done then are dropped. Run must not panic.
	Run(ctx context.Context) (again time.Duration, done bool)
}

// Item is a task with its place in the order.
type Item struct {
	// Task is the work. An item without a task is skipped.
	Task Task
	// Lane is the group of the item, usually one per subscription. All items
	// with a nil lane share one without a limit. An item with a lane of another
	// scheduler is refused.
	Lane *Lane
	// Key determines the order: items of one lane with the same key run one at
	// a time in the order of submission. 0 means no order. See [Scheduler.Key].
	Key uint64
	// Size counts against MaxBytes, in bytes.
	Size int
	// Origin is the origin whose share of the limits the item uses, see
	// [Scheduler.Over]; 0 means none. See [Scheduler.Key].
	Origin uint64
	// Shares is set if items of other origins have the same handler. Origin may
	// then have all workers except an eighth, and all except an eighth of the
	// limit of Lane, with at least one left. Its other keys then wait for its
	// own running tasks, not for free workers.
	Shares bool
	// Must is set for QoS 1 and 2: the item is accepted even beyond the limits,
	// because the broker's in-flight window limits such items already, and the
	// message would not be delivered again if it were refused. Without Must
	// (QoS 0) an item beyond the limits is refused.
	Must bool
}
