package operator

import (
	"context"
	"errors"

	"github.com/kratos-mqtt/kratos-mqtt/event/deadletter"
)

const (
	// scanPage and scanBytes bound what is read from the store at once.
	scanPage  = 500
	scanBytes = 8 << 20
	// maxScan is the number of letters that a call reads; the next one goes on behind them.
	maxScan = 100_000
)

// scan is a walk through the letters of a state, oldest first.
type scan struct {
	store    deadletter.Store
	state    deadletter.State
	criteria *Criteria
	// after is the id of the last letter that was read; after the walk, where to go on.
	after string
	// incomplete is set if the store could not read all letters.
	incomplete bool
	// over ends the walk before the next page; nil never does.
	over func() bool
}

// run calls each with the letters that match, until it returns false for one, which is then not
// counted as read. It reports whether there may be more.
func (s *scan) run(ctx context.Context, each func(l *deadletter.Letter) bool) (more bool, err error) {
	q := deadletter.Query{State: s.state, After: max(s.after, s.criteria.start()), Limit: scanPage, Bytes: scanBytes}
	if _, ok := s.store.(deadletter.Grouper); ok {
		q.Fingerprint = s.criteria.Fingerprint
	}
	for read := 0; read < maxScan && (read == 0 || s.over == nil || !s.over()); {
		page, err := s.store.List(ctx, q)
		if errors.Is(err, deadletter.ErrIncomplete) {
			s.incomplete, err = true, nil
		}
		if err != nil || len(page) == 0 {
			return err != nil, err
		}
		for _, l := range page {
			if s.criteria.matches(l) && !each(l) {
				return true, nil
			}
			s.after, q.After = l.ID, l.ID
		}
		read += len(page)
	}
	return true, nil
}
