package server

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-kratos/kratos/v2/log"
)

// reports.md A10: with a backlog, a stop logs what it waits for, once a second how much
// remains, and the result at the end.
func TestStopTellsItsProgress(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		backlog, second int // messages at the start, and messages handled in a second
		want            []string
	}{
		"nothing": {0, 100, nil},
		"all": {250, 100, []string{
			"stopping: no new requests are taken; accepted messages are handled first: 250 messages at the in-process broker",
			"stopping for 1s: remaining: 150 messages at the in-process broker",
			"stopping for 2s: remaining: 50 messages at the in-process broker",
			"stopping: all accepted messages were handled after 3.1s",
		}},
		"not all": {500, 100, []string{
			"stopping: no new requests are taken; accepted messages are handled first: 500 messages at the in-process broker",
			"stopping for 1s: remaining: 400 messages at the in-process broker",
			"stopping for 2s: remaining: 300 messages at the in-process broker",
			"stopping for 3s: remaining: 200 messages at the in-process broker",
			"stopped after 3.1s with 200 messages at the in-process broker (lost)",
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var out bytes.Buffer
				began := time.Now()
				drain := Drain{
					Run: func(context.Context) { <-time.After(3100 * time.Millisecond) }, Logger: log.NewStdLogger(&out),
					Backlogs: []Backlog{
						{Place: "in the outbox", Fate: "kept", Count: func() int { return 0 }},
						{Place: "at the in-process broker", Fate: "lost", Count: func() int {
							return max(0, test.backlog-int(time.Since(began)/time.Second)*test.second)
						}},
					},
				}
				last := StopInOrder(nil, drain, &recorded{journal: &journal{}})[0]
				if err := last.Stop(t.Context()); err != nil {
					t.Fatal(err)
				}
				var got []string
				for line := range strings.Lines(out.String()) {
					_, text, _ := strings.Cut(strings.TrimSpace(line), "msg=")
					got = append(got, text)
				}
				if !slices.Equal(got, test.want) {
					t.Errorf("logged\n%s", strings.Join(got, "\n"))
				}
			})
		})
	}
}

// The result is counted after the subscriber has stopped, also if stopping failed.
func TestStopTellsTheEndLast(t *testing.T) {
	t.Parallel()
	var handled atomic.Bool
	var out bytes.Buffer
	drain := Drain{
		Run: func(context.Context) {}, Logger: log.NewStdLogger(&out),
		Backlogs: []Backlog{{Place: "here", Count: func() int {
			if handled.Load() {
				return 0
			}
			return 7
		}}},
	}
	last := StopInOrder(nil, drain, &stopping{recorded{journal: &journal{}, fail: errStop}, &handled})[0]
	if err := last.Stop(t.Context()); !errors.Is(err, errStop) {
		t.Errorf("got %v", err)
	}
	if !strings.Contains(out.String(), "all accepted messages were handled") || strings.Contains(out.String(), "WARN") {
		t.Errorf("logged %s", out.String())
	}
}

// What a server left behind when its time was over was not handled, although it is not counted any more.
func TestStopTellsNoEndThatWasNotReached(t *testing.T) {
	t.Parallel()
	var stopped atomic.Bool
	var out bytes.Buffer
	drain := Drain{
		Run: func(context.Context) {}, Logger: log.NewStdLogger(&out),
		Backlogs: []Backlog{{Place: "here", Count: func() int {
			if stopped.Load() {
				return 0
			}
			return 7
		}}},
	}
	late := fmt.Errorf("stop: %w", context.DeadlineExceeded)
	last := StopInOrder(nil, drain, &stopping{recorded{journal: &journal{}, fail: late}, &stopped})[0]
	if err := last.Stop(t.Context()); !errors.Is(err, late) {
		t.Errorf("got %v", err)
	}
	if strings.Contains(out.String(), "all accepted messages were handled") {
		t.Errorf("logged %s", out.String())
	}
}

// stopping handles the remaining messages while it stops.
type stopping struct {
	recorded
	handled *atomic.Bool
}

func (s *stopping) Stop(ctx context.Context) error {
	s.handled.Store(true)
	return s.recorded.Stop(ctx)
}
