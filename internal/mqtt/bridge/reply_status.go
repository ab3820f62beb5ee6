package bridge

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"unicode/utf8"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/client"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/envelope"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/logsafe"
)

// User properties of a reply that is an error. They are names that the
// CloudEvents carrier can take. A reply without a status code is a success.
const (
	statusCode    = "statuscode"
	statusReason  = "statusreason"
	statusMessage = "statusmessage"
)

// Bounds of what a reply says about an error, in bytes, as it is sent and as it is
// taken.
const (
	maxStatusReason  = 128
	maxStatusMessage = 1 << 10
)

// The Kratos errors of replies that say nothing about the request.
const (
	reasonBadReply = "BAD_REPLY" // 502: the reply breaks the rules; 500: it cannot be sent
	reasonInternal = "INTERNAL"  // 500: the error is not for the requester
)

// isStatus reports whether a code is that of an error.
func isStatus(code int) bool {
	return code >= http.StatusBadRequest && code <= 599
}

// forRequester is the error as its requester may know it: what a handler means for
// the caller is a Kratos error, an [event.Error], or a gRPC status that blames the
// caller or has a reason. Of any other one the text may name hosts and queries, as
// that of a gRPC client without a connection does; hidden is set for it.
func forRequester(err error) (e *event.StatusError, hidden bool) {
	if errors.Is(err, context.DeadlineExceeded) {
		return &event.StatusError{
			Code: http.StatusGatewayTimeout, Reason: string(event.ReasonTimeout), Message: "the handler's time was up",
		}, false
	}
	if meant, ok := event.StatusIn(err); ok {
		return meant, false
	}
	s := event.StatusOf(err)
	if s.Code < http.StatusInternalServerError || s.Reason != "" {
		return s, false
	}
	return &event.StatusError{Code: s.Code, Reason: reasonInternal, Message: "internal error"}, true
}

// statusOf returns the properties of an error. A code that is none of an error
// goes out as 500.
func statusOf(s *event.StatusError) []client.UserProperty {
	code := s.Code
	if !isStatus(code) {
		code = http.StatusInternalServerError
	}
	return []client.UserProperty{
		{Key: statusCode, Value: strconv.Itoa(code)},
		{Key: statusReason, Value: statusText(s.Reason, maxStatusReason)},
		{Key: statusMessage, Value: statusText(s.Message, maxStatusMessage)},
	}
}

// statusText is the beginning of a text as one printable line of at most so many
// bytes.
func statusText(s string, most int) string {
	s = logsafe.Line(cut(s, most))
	return cut(s, most)
}

// cut ends a text before the rune that has no room.
func cut(s string, most int) string {
	if len(s) <= most {
		return s
	}
	for most > 0 && !utf8.RuneStart(s[most]) {
		most--
	}
	return s[:most]
}

// failureIn returns the error that a reply carries. Whoever may publish to our
// topic chose it: a code that is none of an error would be an answer that the
// caller's HTTP server cannot give, or a success that is none.
func failureIn(header []client.UserProperty) error {
	text, ok := envelope.Last(header, statusCode)
	if !ok {
		return nil
	}
	code, err := strconv.Atoi(text)
	if err != nil || !isStatus(code) {
		return &event.StatusError{Code: http.StatusBadGateway, Reason: reasonBadReply, Message: fmt.Sprintf(
			"status code %q of the reply, want 400 to 599, or none for success", logsafe.Line(cut(text, maxStatusReason)))}
	}
	reason, _ := envelope.Last(header, statusReason)
	message, _ := envelope.Last(header, statusMessage)
	return &event.StatusError{Code: code, Reason: statusText(reason, maxStatusReason), Message: statusText(message, maxStatusMessage)}
}
