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

// User properties of a reply that is an error. The CloudEvents carrier can take their
// names. A reply without a status code is a success.
const (
	statusCode    = "statuscode"
	statusReason  = "statusreason"
	statusMessage = "statusmessage"
)

// Bounds of the error in a reply, in bytes, both sent and received.
const (
	maxStatusReason  = 128
	maxStatusMessage = 1 << 10
)

// Reasons of Kratos errors of replies that are not about the request.
const (
	reasonBadReply = "BAD_REPLY" // 502: the reply breaks the rules; 500: it cannot be sent
	reasonInternal = "INTERNAL"  // 500: the error is not for the requester
)

// isStatus reports whether a code is an error code.
func isStatus(code int) bool {
	return code >= http.StatusBadRequest && code <= 599
}

// ForRequester returns the error that the requester may see. An error of a handler that is
// meant for the caller is a Kratos error, an [event.Error], or a gRPC status that blames
// the caller or has a reason. The text of any other error may name hosts and queries, such
// as that of a gRPC client without a connection; it is replaced, and hidden is true.
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

// StatusOf returns the properties of an error. A code that is not an error code is sent as
// 500.
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

// FailureIn returns the error in a reply. Any client that may publish to our topic can
// choose its code: the caller's HTTP server could not respond with a code that is not an
// error code, or would report a success.
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
