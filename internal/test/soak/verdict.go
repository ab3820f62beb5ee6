package soak

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// verdict collects what the logs and stores contain about each message.
type verdict struct {
	seed       uint64
	states     map[id]state
	handled    int
	duplicates int
	reordered  int
	overtaken  []string
	last       map[[2]int]int // number handled last, by publisher and worker
}

type state byte

const (
	isAccepted state = 1 << iota
	isHandled
	isDead
	isInOutbox
)

func newVerdict(seed uint64) *verdict {
	return &verdict{seed: seed, states: make(map[id]state), last: make(map[[2]int]int)}
}

func (v *verdict) accept(i id) { v.states[i] |= isAccepted }
func (v *verdict) dead(i id)   { v.states[i] |= isDead }
func (v *verdict) outbox(i id) { v.states[i] |= isInOutbox }

// handle records ids in the order in which they were handled.
func (v *verdict) handle(i id) {
	if v.states[i]&isHandled != 0 {
		v.duplicates++
		return
	}
	v.states[i] |= isHandled
	v.handled++
	order := [2]int{i.publisher, i.worker}
	if before, ok := v.last[order]; ok && i.number < before {
		v.reordered++
		v.overtaken = append(v.overtaken, i.String())
	}
	v.last[order] = max(v.last[order], i.number)
}

// handledAll reports whether all messages that can be handled were handled.
func (v *verdict) handledAll() bool {
	for i, s := range v.states {
		if s&isAccepted != 0 && s&isHandled == 0 && i.fate(v.seed) != poison {
			return false
		}
	}
	return true
}

// Report is the result of a run.
type Report struct {
	// Accepted counts messages whose publish returned nil. Each of them is Handled, Dead (a
	// dead letter, or parked) or in the Outbox; otherwise it is Lost.
	Accepted, Handled, Dead, Outbox, Lost int
	// Duplicates counts how often a message was handled again. Reordered counts
	// messages that were first handled after a later message of their key. Only
	// messages that the broker Refused while later ones were in flight may be
	// reordered.
	Duplicates, Reordered, Refused int
	// Ordered reports that the broker itself keeps the order of a topic.
	Ordered bool
	// Wrong counts dead letters of messages that could be handled.
	Wrong int
	// Faults injected, by kind in Kinds, and the Seed.
	Faults int
	Kinds  map[string]int
	Seed   uint64
	// LostIDs and OvertakenIDs are the first such ids.
	LostIDs, OvertakenIDs []string
	// Problems invalidate the run: a secret in a log, or a broker that dropped messages by
	// itself.
	Problems []error
}

func (v *verdict) report() *Report {
	r := &Report{Duplicates: v.duplicates, Reordered: v.reordered, Seed: v.seed}
	for i, s := range v.states {
		if s&isDead != 0 && s&isHandled == 0 && i.fate(v.seed) != poison {
			r.Wrong++
		}
		if s&isAccepted == 0 {
			continue
		}
		r.Accepted++
		switch {
		case s&isHandled != 0:
			r.Handled++
		case s&isDead != 0:
			r.Dead++
		case s&isInOutbox != 0:
			r.Outbox++
		default:
			r.Lost++
			r.LostIDs = append(r.LostIDs, i.String())
		}
	}
	r.OvertakenIDs = v.overtaken[:min(len(v.overtaken), 20)]
	slices.Sort(r.LostIDs)
	r.LostIDs = r.LostIDs[:min(len(r.LostIDs), 20)]
	return r
}

// Err returns why the run failed or is invalid, or nil.
func (r *Report) Err() error {
	errs := slices.Clone(r.Problems)
	if r.Lost > 0 {
		errs = append(errs, fmt.Errorf("lost %d: %s", r.Lost, strings.Join(r.LostIDs, " ")))
	}
	if r.Ordered && r.Reordered > r.Refused {
		errs = append(errs, fmt.Errorf("%d messages were handled after a later one of their key: %s", r.Reordered, strings.Join(r.OvertakenIDs, " ")))
	}
	if r.Wrong > 0 {
		errs = append(errs, fmt.Errorf("%d dead letters could have been handled", r.Wrong))
	}
	return errors.Join(errs...)
}

// String is the last line of a run.
func (r *Report) String() string {
	return fmt.Sprintf("accepted %d handled %d dead %d outbox %d lost %d duplicates %d faults %d seed %d",
		r.Accepted, r.Handled, r.Dead, r.Outbox, r.Lost, r.Duplicates, r.Faults, r.Seed)
}

// Rare names the kinds of faults that occurred fewer than five times.
func (r *Report) Rare() (names []string) {
	for name, n := range r.Kinds {
		if n < 5 {
			names = append(names, fmt.Sprintf("%s (%d)", name, n))
		}
	}
	slices.Sort(names)
	return names
}
