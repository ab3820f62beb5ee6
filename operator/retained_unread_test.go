package operator_test

import (
	"context"
	"errors"
	"testing"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/event/message"
	"github.com/kratos-mqtt/kratos-mqtt/operator"
)

// failing is a broker that cannot be read any more after the first time.
type failing struct{ reads, cleared int }

func (f *failing) Retained(context.Context, event.RetainedQuery) (page event.RetainedPage, err error) {
	if f.reads++; f.reads > 1 {
		return page, errors.New("gone")
	}
	for _, name := range []string{"a", "b"} {
		page.Messages = append(page.Messages, event.RetainedMessage{Message: message.Message{Topic: name, Payload: []byte("on")}})
	}
	return page, nil
}

func (f *failing) ClearRetained(context.Context, string) error {
	f.cleared++
	return nil
}

// What was deleted before a failure is in the outcome, and in the audit.
func TestClearedAndNotReadAgain(t *testing.T) {
	t.Parallel()
	var audited operator.Action
	f := new(failing)
	o := operator.New(operator.Options{Retained: f, Audit: func(a operator.Action) { audited = a }})
	out, err := o.ClearRetained(t.Context(), operator.RetainedClear{Topics: []string{"a", "b"}})
	if err == nil || f.cleared != 2 || out.Failed != 2 || len(out.Problems) != 2 || !errors.Is(out.Problems[1].Err, operator.ErrUnread) || out.Problems[1].Topic != "b" {
		t.Errorf("%+v, %v", out, err)
	}
	if audited.Outcome.Failed != 2 {
		t.Errorf("%+v", audited)
	}
}
