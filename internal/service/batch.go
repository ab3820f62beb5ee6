package service

import (
	"context"
	"errors"

	"github.com/kratos-mqtt/kratos-mqtt/event"
)

// saveEach converts the messages of a batch and saves the valid ones together. It
// returns nil if all are saved, an [event.ItemErrors] if some are invalid, or another
// error if none is saved.
func saveEach[M, T any](ctx context.Context, list []M, convert func(M) (T, error), save func(context.Context, []T) ([]error, error)) error {
	errs := make(event.ItemErrors, len(list))
	items, at := make([]T, 0, len(list)), make([]int, 0, len(list))
	for i, msg := range list {
		item, err := convert(msg)
		if errs[i] = err; err == nil {
			items, at = append(items, item), append(at, i)
		}
	}
	refused, err := save(ctx, items)
	if err != nil {
		return err
	}
	for n, err := range refused {
		errs[at[n]] = err
	}
	if len(items) == len(list) && refused == nil {
		return nil
	}
	return errs
}

// single returns the error of a batch of one message.
func single(err error) error {
	if items, ok := errors.AsType[event.ItemErrors](err); ok {
		return items[0]
	}
	return err
}
