package boltfile

import (
	"context"
	"errors"
	"fmt"
	"runtime"

	"go.etcd.io/bbolt"
)

// Op is a change of the file.
type Op struct {
	// Grow is the approximate number of bytes that it adds; 0 if it only removes, which works
	// on a full disk too.
	Grow int
	// Apply makes the change. It may be called more than once, each time on the original
	// state.
	Apply func(tx *bbolt.Tx) error
	// Finish is called once, in the order of the file, before Update returns: stored reports
	// whether the change is in the file, which may be so even if Update fails.
	Finish func(stored bool)
}

type op struct {
	Op
	done chan error
}

func newOp(o Op) *op { return &op{Op: o, done: make(chan error, 1)} }

func (o *op) finish(stored bool, err error) {
	if o.Finish != nil {
		o.Finish(stored)
	}
	o.done <- err
}

// maxGroup and maxGroupBytes limit one commit.
const (
	maxGroup      = 4096
	maxGroupBytes = 16 << 20
)

// Update returns nil once all ops are on disk. Concurrent calls share a commit. If ctx ends
// first, its error is returned, and the ops may still be stored.
func (f *File) Update(ctx context.Context, ops ...Op) error {
	if err := ctx.Err(); err != nil {
		f.refuse(ops)
		return err
	}
	mine := make([]*op, len(ops))
	for i, o := range ops {
		mine[i] = newOp(o)
	}
	f.mu.Lock()
	err := f.broken
	if f.closed {
		err = ErrClosed
	}
	if err != nil {
		f.mu.Unlock()
		f.refuse(ops)
		return err
	}
	f.pending = append(f.pending, mine...)
	f.mu.Unlock()
	f.wakeUp()

	var errs error
	for i, o := range mine {
		select {
		case err := <-o.done:
			errs = errors.Join(errs, err)
		case <-ctx.Done():
			f.withdraw(mine[i:])
			return errors.Join(errs, ctx.Err())
		}
	}
	return errs
}

func (f *File) refuse(ops []Op) {
	for _, o := range ops {
		if o.Finish != nil {
			o.Finish(false)
		}
	}
}

// commitAll is the committer: it commits pending ops at once, and then those that arrived
// during the commit together.
func (f *File) commitAll() {
	defer close(f.done)
	for {
		group, closed := f.take()
		switch {
		case len(group) > 0:
			f.commitGroup(group)
		case closed:
			return
		default:
			<-f.wake
		}
	}
}

// gather yields to goroutines that are about to call Update, because the last commit has
// released many writers at once, for as long as this adds ops. It does not block.
func (f *File) gather() {
	for before := -1; ; {
		f.mu.Lock()
		n := len(f.pending)
		f.mu.Unlock()
		if n <= before || n >= maxGroup {
			return
		}
		before = n
		runtime.Gosched()
	}
}

func (f *File) take() (group []*op, closed bool) {
	f.gather()
	f.mu.Lock()
	defer f.mu.Unlock()
	n, size := 0, 0
	for n < len(f.pending) && n < maxGroup && (n == 0 || size+f.pending[n].Grow <= maxGroupBytes) {
		size += f.pending[n].Grow
		n++
	}
	group = f.pending[:n:n]
	f.pending = f.pending[n:]
	if len(f.pending) == 0 {
		f.pending = nil
	}
	return group, f.closed
}

// commitGroup fails the ops that there is no room for, and commits the others.
func (f *File) commitGroup(group []*op) {
	grow := 0
	for _, o := range group {
		grow += o.Grow
	}
	if grow > 0 {
		if err := f.ensure(grow); err != nil {
			f.note(true, err)
			group = failGrowing(group, err)
		}
	}
	if len(group) > 0 {
		f.commit(group)
	}
}

// failGrowing fails the ops that need room and returns the others.
func failGrowing(group []*op, err error) []*op {
	var others []*op
	for _, o := range group {
		if o.Grow > 0 {
			o.finish(false, err)
		} else {
			others = append(others, o)
		}
	}
	return others
}

func (f *File) commit(group []*op) {
	for len(group) > 0 {
		id, bad := 0, -1
		err := guard(func() error {
			return f.db.Update(func(tx *bbolt.Tx) error {
				id = tx.ID()
				for i, o := range group {
					if err := o.Apply(tx); err != nil {
						bad = i
						return err
					}
				}
				return nil
			})
		})
		switch {
		case err == nil:
			f.note(grows(group), nil)
			finishAll(group, true, nil)
			return
		case errors.Is(err, ErrCorrupt):
			f.breakDown(err)
			finishAll(group, false, err)
			return
		case bad >= 0: // one op failed: commit the others again
			group[bad].finish(false, err)
			group = append(group[:bad:bad], group[bad+1:]...)
			continue
		}
		f.failed(group, id, err)
		return
	}
}

// failed handles a failed commit. On a full disk, ops that only remove are tried in smaller
// groups, which need less room.
func (f *File) failed(group []*op, id int, err error) {
	err = fmt.Errorf("commit: %w", err)
	f.note(grows(group), err)
	if f.visible(id) { // the meta page was written before the failure
		finishAll(group, true, err)
		return
	}
	if !IsFull(err) || len(group) == 1 {
		finishAll(group, false, err)
		return
	}
	if grows(group) {
		if group = failGrowing(group, err); len(group) > 0 {
			f.commit(group)
		}
		return
	}
	f.commit(group[:len(group)/2])
	f.commit(group[len(group)/2:])
}

// visible reports whether readers see the transaction.
func (f *File) visible(id int) bool {
	seen := 0
	err := guard(func() error {
		return f.db.View(func(tx *bbolt.Tx) error {
			seen = tx.ID()
			return nil
		})
	})
	return err == nil && seen >= id
}

// note records the result of a commit.
func (f *File) note(grew bool, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if grew {
		f.growErr = err
	}
	if !grew || err == nil {
		f.err = err
	}
}

func grows(group []*op) bool {
	for _, o := range group {
		if o.Grow > 0 {
			return true
		}
	}
	return false
}

func finishAll(group []*op, stored bool, err error) {
	for _, o := range group {
		o.finish(stored, err)
	}
}
