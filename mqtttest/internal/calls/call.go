package calls

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"

	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/event/message"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/topic"
)

// Refuse returns the error of a call that no broker would accept: its topic or an option is
// invalid, or its context has ended.
func Refuse(ctx context.Context, op string, c event.Call) error {
	reason := func(r event.Reason, cause error) error {
		return &event.Error{Op: op, Topic: c.Topic, Reason: r, Cause: cause}
	}
	invalid := topic.ValidateName(c.Topic)
	switch err := ctx.Err(); {
	case invalid != nil:
		return reason(event.ReasonBadTopic, invalid)
	case errors.Is(err, context.DeadlineExceeded):
		return reason(event.ReasonTimeout, err)
	case err != nil:
		return reason(event.ReasonCanceled, err)
	case c.QoS > 2:
		return reason(event.ReasonBadRequest, fmt.Errorf("QoS %d, want 0, 1 or 2", c.QoS))
	case c.Expiry < 0:
		return reason(event.ReasonBadRequest, fmt.Errorf("expiry of %v", c.Expiry))
	}
	return nil
}

// Differences describes each option in which two calls differ, one line each.
func Differences(got, want event.Call) (lines []string) {
	differs := func(what string, got, want any) {
		if !reflect.DeepEqual(got, want) {
			lines = append(lines, fmt.Sprintf("%s %v, want %v", what, got, want))
		}
	}
	differs("topic", got.Topic, want.Topic)
	differs("QoS", got.QoS, want.QoS)
	differs("retain", got.Retain, want.Retain)
	differs("expiry", got.Expiry, want.Expiry)
	differs("id", got.ID, want.ID)
	differs("headers", sorted(got.Headers), sorted(want.Headers))
	differs("ordering key", got.OrderingKey, want.OrderingKey)
	differs("content type", got.ContentType, want.ContentType)
	differs("skip outbox", got.SkipOutbox, want.SkipOutbox)
	differs("unrouted", text(got.Unrouted), text(want.Unrouted))
	return lines
}

// sorted sorts headers by their keys; those with the same key keep their order.
func sorted(headers []message.Header) []message.Header {
	headers = slices.Clone(headers)
	slices.SortStableFunc(headers, func(a, b message.Header) int { return cmp.Compare(a.Key, b.Key) })
	if len(headers) == 0 {
		return nil
	}
	return headers
}

func text(u *event.Unrouted) string {
	if u == nil {
		return "as configured"
	}
	return fmt.Sprintf("%+v", *u)
}

// Same reports whether two bodies are equal, messages of protobuf by proto.Equal.
func Same(a, b any) bool {
	x, isMessage := a.(proto.Message)
	y, isToo := b.(proto.Message)
	if isMessage && isToo {
		return proto.Equal(x, y)
	}
	return reflect.DeepEqual(a, b)
}

// Text formats a body for the message of a failed test.
func Text(body any) string {
	switch b := body.(type) {
	case proto.Message:
		return fmt.Sprintf("%s {%s}", b.ProtoReflect().Descriptor().FullName(), prototext.Format(b))
	case []byte:
		return fmt.Sprintf("%q", b)
	}
	return fmt.Sprintf("%+v", body)
}
