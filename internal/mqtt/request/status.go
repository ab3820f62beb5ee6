package request

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/envelope"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/logsafe"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/session"
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

// ForRequester returns the error as its requester may know it: what a handler means for
// the caller is a Kratos error, an [event.Error], or a gRPC status that blames the
// caller or has a reason. Of any other one the text may name hosts and queries, as
// that of a gRPC client without a connection does; hidden is true for it.
func ForRequester(err error) (e *event.StatusError, hidden bool) {
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

// StatusOf returns the properties of an error. A code that is none of an error
// goes out as 500.
func StatusOf(s *event.StatusError) []session.UserProperty {
	code := s.Code
	if !isStatus(code) {
		code = http.StatusInternalServerError
	}
	return []session.UserProperty{
		{Key: statusCode, Value: strconv.Itoa(code)},
		{Key: statusReason, Value: logsafe.Within(s.Reason, maxStatusReason)},
		{Key: statusMessage, Value: logsafe.Within(s.Message, maxStatusMessage)},
	}
}

// FailureIn returns the error that a reply carries. Whoever may publish to our
// topic chose it: a code that is none of an error would be an answer that the
// caller's HTTP server cannot give, or a success that is none.
func FailureIn(header []session.UserProperty) error {
	text, ok := envelope.Last(header, statusCode)
	if !ok {
		return nil
	}
	code, err := strconv.Atoi(text)
	if err != nil || !isStatus(code) {
		return &event.StatusError{Code: http.StatusBadGateway, Reason: reasonBadReply, Message: fmt.Sprintf(
			"status code %q of the reply, want 400 to 599, or none for success", logsafe.Line(logsafe.Cut(text, maxStatusReason)))}
	}
	reason, _ := envelope.Last(header, statusReason)
	message, _ := envelope.Last(header, statusMessage)
	return &event.StatusError{Code: code, Reason: logsafe.Within(reason, maxStatusReason), Message: logsafe.Within(message, maxStatusMessage)}
}

// Unsendable returns the error of a reply that cannot be sent as it is.
func Unsendable() *event.StatusError {
	return &event.StatusError{Code: http.StatusInternalServerError, Reason: reasonBadReply, Message: "the reply cannot be sent"}
}
