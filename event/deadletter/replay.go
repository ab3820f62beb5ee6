package deadletter

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"
)

var (
	// ErrParked is the error of replaying a letter that the service itself
	// handles again: it would be handled twice.
	ErrParked = errors.New("deadletter: the letter is parked, and handled again by its service")
	// ErrOmitted is the error of replaying a letter that has not all of its
	// message: what would be published is another message.
	ErrOmitted = errors.New("deadletter: the letter has not the whole message")
	// ErrDamaged is the error of replaying a letter that its store can no longer
	// read.
	ErrDamaged = errors.New("deadletter: the letter is damaged")
	// ErrSuspect is the error of replaying a letter that may not be what the service
	// wrote, see [Letter]'s Suspect: what would be published is what somebody else
	// chose, with the rights of the service.
	ErrSuspect = errors.New("deadletter: the letter is suspect")
	// ErrClaimed is the error of replaying a letter that somebody else replays at
	// the moment.
	ErrClaimed = errors.New("deadletter: the letter is being replayed by somebody else")
)

// Replay publishes dead letters again, oldest first, and deletes each from the
// store once publish returned nil: to its original topic, with its original
// payload and headers, so with the event id that it had. Without ids it takes
// every letter that is dead when it begins, and parked ones whose time is over
// ([Letter.Over]).
//
// A letter that cannot be replayed ([ErrDamaged], [ErrOmitted], [ErrSuspect], publish returns
// an error that wraps [ErrUnfit]; of named ones also [ErrNotFound],
// [ErrParked], [ErrClaimed]) stays and does not stop the others: err names all
// of them, the first 20 in detail. Any other error of publish, and one of the
// store, ends the replay, but for [ErrIncomplete]: then err is that too, and what
// was found is replayed. n is how many letters were replayed.
//
// Where the store is a [Claimer], two replays at once publish each letter once.
// A letter whose deletion failed is published again by a later Replay. publish
// may keep the letter; it has 45 s for each. The letter's Retain is cleared, as
// what the broker keeps for that topic may be newer, and its QoS is at least 1,
// as the letter ends with it.
func Replay(ctx context.Context, store Store, publish func(ctx context.Context, l *Letter) error, ids ...string) (n int, err error) {
	return run(ctx, &replay{store: store, publish: publish}, ids)
}

// ReplayConfirmed is [Replay] of the letters of these ids, also of suspect ones: the
// caller has looked at what they would publish, and where. Without ids it is an error.
func ReplayConfirmed(ctx context.Context, store Store, publish func(ctx context.Context, l *Letter) error, ids ...string) (n int, err error) {
	if len(ids) == 0 {
		return 0, errors.New("deadletter: no letter is named, want the ids of those that are confirmed")
	}
	return run(ctx, &replay{store: store, publish: publish, confirmed: true}, ids)
}

func run(ctx context.Context, r *replay, ids []string) (n int, err error) {
	if len(ids) > 0 {
		err = r.named(ctx, ids)
	} else {
		err = r.all(ctx)
	}
	return r.n, errors.Join(r.skipped(), err)
}

// replay is one call of Replay.
type replay struct {
	store   Store
	publish func(ctx context.Context, l *Letter) error
	n       int // replayed
	// confirmed takes suspect letters, too.
	confirmed bool
	left      []error
	more      int // that are not in left
}

// maxLeft is how many letters an error names in detail.
const maxLeft = 20

func (r *replay) leave(id string, err error) {
	if len(r.left) == maxLeft {
		r.more++
		return
	}
	r.left = append(r.left, fmt.Errorf("%s: %w", id, err))
}

func (r *replay) skipped() error {
	if r.more > 0 {
		return errors.Join(append(r.left, fmt.Errorf("deadletter: %d more letters could not be replayed", r.more))...)
	}
	return errors.Join(r.left...)
}

func (r *replay) named(ctx context.Context, ids []string) error {
	for _, id := range ids {
		l, err := r.store.Get(ctx, id)
		switch {
		case errors.Is(err, ErrNotFound):
			r.leave(id, err)
			continue
		case err != nil:
			return fmt.Errorf("%s: %w", id, err)
		case l.State == Parked && !l.Over(time.Now()):
			r.leave(id, ErrParked)
			continue
		}
		called, err := r.one(ctx, l)
		if err != nil {
			return err
		}
		if !called {
			r.leave(id, ErrClaimed)
		}
	}
	return nil
}

func (r *replay) all(ctx context.Context) error {
	take := func(l *Letter) error { _, err := r.one(ctx, l); return err }
	lacking := eachDead(ctx, r.store, func(page []*Letter) error { return forAll(page, take) })
	if lacking != nil && !errors.Is(lacking, ErrIncomplete) {
		return lacking
	}
	now := time.Now()
	err := eachPage(ctx, r.store, Query{State: Parked, OverAt: now}, func(page []*Letter) error {
		return forAll(page, func(l *Letter) error {
			if !l.Over(now) { // of a store that does not know OverAt
				return nil
			}
			return take(l)
		})
	})
	return cmp.Or(err, lacking)
}

func forAll(page []*Letter, f func(*Letter) error) error {
	for _, l := range page {
		if err := f(l); err != nil {
			return err
		}
	}
	return nil
}

// one replays a letter, and reports whether nobody else does.
func (r *replay) one(ctx context.Context, l *Letter) (called bool, err error) {
	switch {
	case l.Omitted != (Omitted{}):
		r.leave(l.ID, fmt.Errorf("%w: %v", ErrOmitted, l.Omitted))
		return true, nil
	case l.Topic == "":
		r.leave(l.ID, fmt.Errorf("%w: %s", ErrDamaged, l.Reason))
		return true, nil
	case l.Suspect != "" && !r.confirmed:
		r.leave(l.ID, fmt.Errorf("%w: %s", ErrSuspect, l.Suspect))
		return true, nil
	}
	l.Retain, l.QoS = false, max(1, l.QoS)
	called, err = WithClaim(ctx, r.store, l.ID, func(ctx context.Context) error { return r.publish(ctx, l) })
	switch {
	case errors.Is(err, ErrUnfit):
		r.leave(l.ID, fmt.Errorf("replay to %q: %w", l.Topic, err))
		return true, nil
	case err != nil:
		return called, fmt.Errorf("deadletter: replay of %s to %q: %w", l.ID, l.Topic, err)
	case !called:
		return false, nil
	}
	// Also after the end of ctx: it has been published.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), deleteTimeout)
	defer cancel()
	switch err := r.store.Delete(ctx, l.ID); {
	case errors.Is(err, ErrUnfit):
		r.leave(l.ID, fmt.Errorf("it was replayed, and could not be deleted: %w", err))
		return true, nil
	case err != nil:
		return true, fmt.Errorf("deadletter: %s was replayed, and could not be deleted: %w", l.ID, err)
	}
	r.n++
	return true, nil
}

// deleteTimeout bounds the deletion of a letter that was replayed; it ends
// before the claim does.
const deleteTimeout = 10 * time.Second

// Drop deletes letters unhandled and returns how many there were: the named
// ones, parked ones among them, or without ids every dead one. A parked letter
// that is being handled at the moment is handled to its end. With
// [ErrIncomplete] there may be more dead ones, which another Drop finds.
func Drop(ctx context.Context, store Store, ids ...string) (n int, err error) {
	var left error // the last one that stays
	if len(ids) == 0 {
		err = eachDead(ctx, store, func(page []*Letter) error {
			ids := make([]string, len(page))
			for i, l := range page {
				ids[i] = l.ID
			}
			err := store.Delete(ctx, ids...)
			if errors.Is(err, ErrUnfit) {
				gone, err := dropEach(ctx, store, ids)
				n, left = n+gone, cmp.Or(err, left)
				return nil
			}
			if err == nil {
				n += len(ids)
			}
			return err
		})
		return n, cmp.Or(err, left)
	}
	return dropEach(ctx, store, ids)
}

// dropEach deletes one letter after the other, and goes on behind those that stay.
func dropEach(ctx context.Context, store Store, ids []string) (n int, left error) {
	for _, id := range ids {
		switch _, err := store.Get(ctx, id); {
		case errors.Is(err, ErrNotFound):
			continue
		case err != nil:
			return n, err
		}
		switch err := store.Delete(ctx, id); {
		case errors.Is(err, ErrUnfit):
			left = err
		case err != nil:
			return n, err
		default:
			n++
		}
	}
	return n, left
}

// eachDead calls f with pages of as many letters as are dead now: what is
// replayed may come back as a new one.
func eachDead(ctx context.Context, store Store, f func([]*Letter) error) error {
	stats, lacking := store.Stats(ctx)
	if lacking != nil && !errors.Is(lacking, ErrIncomplete) {
		return lacking
	}
	left := stats.Dead
	err := eachPage(ctx, store, Query{State: Dead}, func(page []*Letter) error {
		page = page[:min(len(page), left)]
		if left -= len(page); len(page) == 0 {
			return errEnough
		}
		return f(page)
	})
	return cmp.Or(err, lacking)
}

// errEnough ends eachPage.
var errEnough = errors.New("enough")

// eachPage calls f with each page that there is, and returns [ErrIncomplete] at
// the end when one may lack letters.
func eachPage(ctx context.Context, store Store, q Query, f func([]*Letter) error) (lacking error) {
	for {
		page, err := store.List(ctx, q)
		if errors.Is(err, ErrIncomplete) {
			lacking, err = err, nil
		}
		if err != nil || len(page) == 0 {
			return cmp.Or(err, lacking)
		}
		q.After = page[len(page)-1].ID
		if err := f(page); errors.Is(err, errEnough) {
			return lacking
		} else if err != nil {
			return err
		}
	}
}
