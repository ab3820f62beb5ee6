package partition_test

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"testing"

	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/partition"
)

// watcher returns lists of instances, and then waits until it is stopped.
type watcher struct {
	lists   [][]int
	failure error
	stopped chan struct{}
	stops   int
}

func (w *watcher) Next() (list []int, err error) {
	if len(w.lists) > 0 {
		list, w.lists = w.lists[0], w.lists[1:]
		return list, nil
	}
	if w.failure != nil {
		return nil, w.failure
	}
	<-w.stopped
	return nil, errors.New("stopped")
}

func (w *watcher) Stop() error {
	w.stops++
	close(w.stopped)
	return nil
}

func TestFollow(t *testing.T) {
	t.Parallel()
	failure := errors.New("registry is down")
	for name, failing := range map[string]bool{"context ends": false, "watcher fails": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			w := &watcher{lists: [][]int{{1}, {1, 2}, nil}, stopped: make(chan struct{})}
			if failing {
				w.failure = failure
			}
			var got [][]string
			err := partition.Follow(ctx, w, strconv.Itoa, func(ids []string) {
				if got = append(got, ids); len(got) == 3 && !failing {
					cancel()
				}
			})
			if failing != errors.Is(err, failure) || err == nil || w.stops != 1 {
				t.Errorf("%v, stopped %d times", err, w.stops)
			}
			if !slices.EqualFunc(got, [][]string{{"1"}, {"1", "2"}, {}}, slices.Equal[[]string]) {
				t.Errorf("%q", got)
			}
		})
	}
}
