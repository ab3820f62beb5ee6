package request

import (
	"errors"
	"fmt"
	"testing"

	"github.com/kratos-mqtt/kratos-mqtt/event"
)

func TestReplyGoesToItsRequestOnce(t *testing.T) {
	t.Parallel()
	p := NewPending[string]()
	first, err := p.Expect("a", "1")
	if err != nil {
		t.Fatal(err)
	}
	second, err := p.Expect("a", "2")
	if err != nil {
		t.Fatal(err)
	}
	if late := p.Answer([]byte("2"), "two"); late != 0 || <-second != "two" || len(first) != 0 {
		t.Errorf("late %d", late)
	}
	p.Forget("1")
	for n, correlation := range []string{"2", "1", ""} {
		if late := p.Answer([]byte(correlation), "x"); late != int64(n)+1 || p.Late() != late {
			t.Errorf("a reply to %q: late %d", correlation, late)
		}
	}
	if len(p.waiting) != 0 || len(p.topics) != 0 {
		t.Errorf("%d requests and %d topics are remembered", len(p.waiting), len(p.topics))
	}
}

// A topic whose replier is dead leaves room to the others.
func TestDeadReplierLeavesRoom(t *testing.T) {
	t.Parallel()
	p := NewPending[string]()
	fill := func(topic string) (n int) {
		for ; ; n++ {
			_, err := p.Expect(topic, fmt.Sprint(topic, n))
			if e, ok := errors.AsType[*event.Error](err); ok && e.Reason == event.ReasonQuota {
				return n
			}
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	if dead, other := fill("dead"), fill("other"); dead != maxPending/2 || other != maxPending/4 {
		t.Errorf("%d of one topic, then %d of another one", dead, other)
	}
}
