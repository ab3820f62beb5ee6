package deadletter

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"
)

var (
	// ErrParked is the error of replaying a parked letter: its service still retries it, so it
	// would be handled twice.
	ErrParked = errors.New("deadletter: the letter is parked, and handled again by its service")
	// ErrOmitted is the error of replaying a letter that does not contain its whole message.
	ErrOmitted = errors.New("deadletter: the letter has not the whole message")
	// ErrDamaged is the error of replaying a letter that its store cannot read.
	ErrDamaged = errors.New("deadletter: the letter is damaged")
	// ErrSuspect is the error of replaying a letter that the service may not have written, see
	// Suspect of [Letter]: a client could make the service publish an arbitrary message with
	// the access rights of the service.
	ErrSuspect = errors.New("deadletter: the letter is suspect")
	// ErrClaimed is the error of replaying a letter that another call is replaying.
	ErrClaimed = errors.New("deadletter: the letter is being replayed by somebody else")
	// ErrUnrouted is the error of replaying a letter whose message the broker accepted and
	// dropped, because nobody subscribes to its topic. The publish function returns it if the
	// broker says so, which only MQTT 5 permits and no broker has to.
	ErrUnrouted = errors.New("deadletter: nobody subscribes to the topic of the letter")
)

// Replay publishes dead letters again, oldest first, and deletes each from the store after
// publish returned nil. They are published to the original topic, with the original payload
// and headers, and therefore with the original message id. Without ids, Replay takes every
// letter that is dead when it begins, and parked ones whose time is over ([Letter.Over]).
//
// A letter that cannot be replayed stays in the store and does not stop the others. This
// applies to [ErrDamaged], [ErrOmitted], [ErrSuspect], and errors of publish that wrap
// [ErrUnfit] or [ErrUnrouted]; for letters selected by id also to [ErrNotFound], [ErrParked]
// and [ErrClaimed].
// err joins these errors, the first 20 in detail. Any other error of publish or of the store
// ends the replay, except [ErrIncomplete]: the letters that were found are replayed, and err
// includes it. n is the number of replayed letters.
//
// If the store is a [Claimer], concurrent replays publish each letter once. A letter that
// could not be deleted is published again by a later Replay. publish has 45 s for each letter
// and may keep a reference to it. Its Retain flag is cleared, because the broker may have a
// newer retained message for the topic, and its QoS is at least 1, because the letter is
// deleted afterwards.
func Replay(ctx context.Context, store Store, publish func(ctx context.Context, l *Letter) error, ids ...string) (n int, err error) {
	return run(ctx, &replay{store: store, publish: publish}, ids)
}

// ReplayConfirmed is like [Replay] for the letters with these ids, and also replays suspect
// ones: the caller has checked what they would publish and where. It fails without ids.
func ReplayConfirmed(ctx context.Context, store Store, publish func(ctx context.Context, l *Letter) error, ids ...string) (n int, err error) {
	if len(ids) == 0 {
		return 0, errors.New("deadletter: no ids, want those of the confirmed letters")
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

// replay is the state of one call of Replay.
type replay struct {
	store   Store
	publish func(ctx context.Context, l *Letter) error
	n       int // number of replayed letters
	// confirmed includes suspect letters.
	confirmed bool
	left      []error
	more      int // number of errors that are not in left
}

// maxLeft is the number of letters that an error describes in detail.
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
			if !l.Over(now) { // the store does not implement OverAt
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

// one replays a letter, and reports whether it could be claimed.
func (r *replay) one(ctx context.Context, l *Letter) (called bool, err error) {
	switch err := ReplayLetter(ctx, r.store, r.publish, l, r.confirmed); {
	case err == nil:
		r.n++
	case errors.Is(err, ErrClaimed):
		return false, nil
	case errors.Is(err, ErrOmitted), errors.Is(err, ErrDamaged), errors.Is(err, ErrSuspect), errors.Is(err, ErrUnfit),
		errors.Is(err, ErrUnrouted):
		r.leave(l.ID, err)
	default:
		return true, fmt.Errorf("deadletter: %s: %w", l.ID, err)
	}
	return true, nil
}

// ReplayLetter replays one letter as [Replay] does, whatever its state: it claims it, publishes
// it and deletes it. confirmed includes a suspect letter. It changes l: Retain is cleared, QoS
// is at least 1, and Replayed counts one more. The error is [ErrOmitted], [ErrDamaged],
// [ErrSuspect] or [ErrClaimed] for a letter that was not published, else that of publish or of
// the store; an error of the deletion says that the letter was replayed.
func ReplayLetter(ctx context.Context, store Store, publish func(ctx context.Context, l *Letter) error, l *Letter, confirmed bool) error {
	switch {
	case l.Omitted != (Omitted{}):
		return fmt.Errorf("%w: %v", ErrOmitted, l.Omitted)
	case l.Topic == "":
		return fmt.Errorf("%w: %s", ErrDamaged, l.Reason)
	case l.Suspect != "" && !confirmed:
		return fmt.Errorf("%w: %s", ErrSuspect, l.Suspect)
	}
	l.Retain, l.QoS, l.Replayed = false, max(1, l.QoS), l.Replayed.again()
	called, err := WithClaim(ctx, store, l.ID, func(ctx context.Context) error { return publish(ctx, l) })
	switch {
	case err != nil:
		return fmt.Errorf("replay to %q: %w", l.Topic, err)
	case !called:
		return ErrClaimed
	}
	// Delete it even if ctx has ended, because it has been published.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), deleteTimeout)
	defer cancel()
	if err := store.Delete(ctx, l.ID); err != nil {
		return fmt.Errorf("it was replayed, but could not be deleted: %w", err)
	}
	return nil
}

// deleteTimeout limits the deletion of a replayed letter; it ends before the claim does.
const deleteTimeout = 10 * time.Second

// Delete deletes letters without handling them and returns their number. It deletes the letters
// with these ids, including parked ones, or without ids every dead letter. A parked letter
// whose handler is running is handled to the end. With [ErrIncomplete] there may be more dead
// letters, which another Delete finds.
func Delete(ctx context.Context, store Store, ids ...string) (n int, err error) {
	var left error // the last error of a letter that was not deleted
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

// dropEach deletes letters one by one, and continues after those that cannot be deleted.
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

// eachDead calls f with pages of at most as many letters as are dead now, because replayed
// ones may become new dead letters.
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

// errEnough stops eachPage.
var errEnough = errors.New("enough")

// eachPage calls f with each page. It returns [ErrIncomplete] at the end if a page may lack
// letters.
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
