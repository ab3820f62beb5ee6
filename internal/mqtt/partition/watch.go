package partition

import (
	"context"
	"errors"
	"sync"
)

// Watcher follows the instances of a service in a registry, as that of either version of Kratos.
type Watcher[I any] interface {
	Next() ([]I, error)
	Stop() error
}

// Follow calls update with the ids of all instances, at first and after each change, until ctx
// ends or the watcher fails. It stops the watcher, and returns why it ended.
func Follow[I any](ctx context.Context, w Watcher[I], id func(I) string, update func(ids []string)) error {
	stop := sync.OnceValue(w.Stop)
	defer context.AfterFunc(ctx, func() { _ = stop() })() // Next need not end with ctx
	for {
		list, err := w.Next()
		if err != nil {
			return errors.Join(err, stop())
		}
		ids := make([]string, len(list))
		for i, instance := range list {
			ids[i] = id(instance)
		}
		update(ids)
	}
}
