package server

import (
	"fmt"
	"strings"
	"time"

	"github.com/go-kratos/kratos/v2/log"
)

// progressEvery is how often the remaining messages are logged during a stop.
const progressEvery = time.Second

// Backlog is a place where messages may remain when the service stops.
type Backlog struct {
	// Place describes the place, as in "12 messages <place>".
	Place string
	// Fate describes what happens to the messages that remain.
	Fate string
	// Count returns how many messages there are.
	Count func() int
}

// tellProgress logs the remaining messages: at once if there are any, and then every
// second. The returned function logs the result; what a server left because its time was over is
// not counted any more, and it has logged that itself.
func tellProgress(helper *log.Helper, backlogs []Backlog) (end func(inTime bool)) {
	began := time.Now()
	before := total(backlogs)
	if before > 0 {
		helper.Infof("stopping: no new requests are taken; accepted messages are handled first: %s", left(backlogs, false))
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
				helper.Infof("stopping for %v: remaining: %s", time.Since(began).Round(progressEvery), left(backlogs, false))
			}
		}
	}()
	return func(inTime bool) {
		close(over)
		<-ended
		took := time.Since(began).Round(time.Millisecond)
		switch {
		case settled(backlogs) > 0:
			helper.Warnf("stopped after %v with %s", took, left(backlogs, true))
		case before > 0 && inTime:
			helper.Infof("stopping: all accepted messages were handled after %v", took)
		}
	}
}

// settled returns the total once it no longer changes: the last acknowledgements may
// still be under way.
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

// left describes the places that are not empty, with the fate of their messages if fate
// is set.
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
	if len(parts) == 0 { // the last messages were handled in the meantime
		return "nothing"
	}
	return strings.Join(parts, ", ")
}
