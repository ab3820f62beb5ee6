package deadletter

import (
	"context"
	"errors"
	"fmt"
)

// ErrParked is the error of replaying a letter that the service itself handles
// again: it would be handled twice.
var ErrParked = errors.New("deadletter: the letter is parked, and handled again by its service")

// Replay publishes dead letters again, oldest first, and deletes each from the
// store once publish returned nil: to its original topic, with its original
// payload and headers, so with the event id that it had. Without ids it takes
// every letter that is dead when it begins. It stops at the first error and
// returns how many it replayed; a letter whose deletion failed is published
// again by the next Replay. publish may keep the letter. Its Retain is
// cleared, as what the broker keeps for that topic may be newer, and its QoS is
// at least 1, as the letter ends with it. ErrParked and
// ErrNotFound are possible for ids that were named.
func Replay(ctx context.Context, store Store, publish func(ctx context.Context, l *Letter) error, ids ...string) (n int, err error) {
	err = each(ctx, store, ids, func(l *Letter) error {
		l.Retain, l.QoS = false, max(1, l.QoS)
		if err := publish(ctx, l); err != nil {
			return fmt.Errorf("deadletter: replay of %s to %q: %w", l.ID, l.Topic, err)
		}
		if err := store.Delete(ctx, l.ID); err != nil {
			return fmt.Errorf("deadletter: %s was replayed, and could not be deleted: %w", l.ID, err)
		}
		n++
		return nil
	})
	return n, err
}

// Drop deletes letters unhandled and returns how many there were: the named
// ones, parked ones among them, or without ids every dead one. A parked letter
// that is being handled at the moment is handled to its end.
func Drop(ctx context.Context, store Store, ids ...string) (n int, err error) {
	if len(ids) == 0 {
		err = each(ctx, store, nil, func(l *Letter) error {
			n++
			return store.Delete(ctx, l.ID)
		})
		return n, err
	}
	for _, id := range ids {
		switch _, err := store.Get(ctx, id); {
		case errors.Is(err, ErrNotFound):
			continue
		case err != nil:
			return n, err
		}
		if err := store.Delete(ctx, id); err != nil {
			return n, err
		}
		n++
	}
	return n, nil
}

// each calls f with the named letters, or with all that are dead now.
func each(ctx context.Context, store Store, ids []string, f func(*Letter) error) error {
	if len(ids) == 0 {
		return eachDead(ctx, store, f)
	}
	for _, id := range ids {
		l, err := store.Get(ctx, id)
		if err == nil && l.State == Parked {
			err = ErrParked
		}
		if err != nil {
			return fmt.Errorf("%s: %w", id, err)
		}
		if err := f(l); err != nil {
			return err
		}
	}
	return nil
}

// eachDead takes as many letters as there are now: what is replayed may come
// back as a new one.
func eachDead(ctx context.Context, store Store, f func(*Letter) error) error {
	stats, err := store.Stats(ctx)
	if err != nil {
		return err
	}
	q := Query{State: Dead}
	for left := stats.Dead; left > 0; {
		q.Limit = min(left, DefaultPage)
		page, err := store.List(ctx, q)
		if err != nil || len(page) == 0 {
			return err
		}
		for _, l := range page {
			if err := f(l); err != nil {
				return err
			}
			q.After = l.ID
		}
		left -= len(page)
	}
	return nil
}
