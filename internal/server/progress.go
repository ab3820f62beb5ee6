package server

import (
	"fmt"
	"strings"
	"time"

	"github.com/go-kratos/kratos/v2/log"
)

// progressEvery is how often a stop tells what is left.
const progressEvery = time.Second

// Backlog is a place where messages may be left when the service stops.
type Backlog struct {
	// Place is where they are, as in "12 messages <place>".
	Place string
	// Fate is what becomes of those that are left in the end.
	Fate string
	// Count is how many there are.
	Count func() int
}

// tellProgress logs what is left: at once when that is anything, and then every
// second. The returned function logs the end of it.
func tellProgress(helper *log.Helper, backlogs []Backlog) (end func()) {
	began := time.Now()
	before := total(backlogs)
	if before > 0 {
		helper.Infof("stopping: no new requests are taken; what was accepted is handled first: %s", left(backlogs, false))
	}
	over, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(progressEvery)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
			case <-over:
				return
			}
			if total(backlogs) > 0 {
				helper.Infof("stopping for %v: still to handle: %s", time.Since(began).Round(progressEvery), left(backlogs, false))
			}
		}
	}()
	return func() {
		close(over)
		<-ended
		took := time.Since(began).Round(time.Millisecond)
		switch {
		case settled(backlogs) > 0:
			helper.Warnf("stopped after %v with %s", took, left(backlogs, true))
		case before > 0:
			helper.Infof("stopping: all that was accepted is handled, after %v", took)
		}
	}
}

// settled is the total once it stays the same: the last acknowledgements may still be
// on their way.
func settled(backlogs []Backlog) int {
	n := total(backlogs)
	for range settlePolls {
		if n == 0 {
			break
		}
		<-time.After(settlePoll)
		now := total(backlogs)
		if now == n {
			break
		}
		n = now
	}
	return n
}

const (
	settlePoll  = 50 * time.Millisecond
	settlePolls = 20
)

func total(backlogs []Backlog) (n int) {
	for _, b := range backlogs {
		n += b.Count()
	}
	return n
}

// left lists the places that are not empty, with what becomes of it.
func left(backlogs []Backlog, fate bool) string {
	var parts []string
	for _, b := range backlogs {
		n := b.Count()
		if n == 0 {
			continue
		}
		part := fmt.Sprintf("%d messages %s", n, b.Place)
		if fate {
			part += " (" + b.Fate + ")"
		}
		parts = append(parts, part)
	}
	if len(parts) == 0 { // a moment ago there was something
		return "nothing"
	}
	return strings.Join(parts, ", ")
}
