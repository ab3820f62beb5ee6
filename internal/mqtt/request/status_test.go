package request

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	kerrors "github.com/go-kratos/kratos/v2/errors"
	khttp "github.com/go-kratos/kratos/v2/transport/http"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/session"
)

// A replier cannot choose a status code that the caller's HTTP server cannot respond with,
// or that turns an error into a success.
func TestStatusCodeOfAReplierIsAnError(t *testing.T) {
	t.Parallel()
	for code, want := range map[string]int{
		"400": 400, "404": 404, "499": 499, "503": 503, "599": 599,
		"1000": 502, "99999": 502, "600": 502, "302": 502, "399": 502, "250": 502, "200": 502, "100": 502, "0": 502, "-1": 502,
		"": 502, "x": 502, "4e2": 502, "99999999999999999999": 502, "\x1b[31m\n" + strings.Repeat("9", 10_000): 502,
	} {
		err := FailureIn([]session.UserProperty{{Key: statusCode, Value: code}, {Key: statusReason, Value: "WHY"}})
		k := kerrors.FromError(err)
		if err == nil || int(k.Code) != want || (k.Reason == "BAD_REPLY") != (want == 502) {
			t.Errorf("%.20q: %v", code, err)
			continue
		}
		if strings.ContainsAny(err.Error(), "\x1b\n") || len(err.Error()) > 2000 {
			t.Errorf("%.20q: %d bytes, %.100q", code, len(err.Error()), err)
		}
		// As Kratos' HTTP server passes it on: net/http panics over a code of four digits.
		w := httptest.NewRecorder()
		khttp.DefaultErrorEncoder(w, httptest.NewRequest(http.MethodGet, "/", nil), err)
		if w.Code != want {
			t.Errorf("%.20q: HTTP status %d", code, w.Code)
		}
	}
	if err := FailureIn([]session.UserProperty{{Key: statusMessage, Value: "x"}}); err != nil {
		t.Errorf("a reply without a status code: %v", err)
	}
}

// Reasons and texts are short, printable lines, whatever either side has.
func TestTextsOfAReplyAreBounded(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"long": strings.Repeat("x", 100_000), "runes": strings.Repeat("日本", 50_000), "broken": strings.Repeat("\xff", 50_000),
		"controls": strings.Repeat("\x1b[31mred\r\n\u202e", 10_000), "NUL": "a\x00b", "": "", "plain": "no such device",
	} {
		properties := []session.UserProperty{{Key: statusCode, Value: "418"}, {Key: statusReason, Value: text}, {Key: statusMessage, Value: text}}
		taken := kerrors.FromError(FailureIn(properties))
		sent := StatusOf(&event.StatusError{Code: 418, Reason: text, Message: text})
		for what, got := range map[string][2]string{"sent": {sent[1].Value, sent[2].Value}, "taken": {taken.Reason, taken.Message}} {
			for i, most := range []int{maxStatusReason, maxStatusMessage} {
				s := got[i]
				if len(s) > most || !utf8.ValidString(s) || strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) {
					t.Errorf("%s, %s: %d bytes, %.50q", name, what, len(s), s)
				}
				if name == "plain" && s != text {
					t.Errorf("%s: %q", what, s)
				}
			}
		}
	}
}

// What a handler did not mean for its requester stays here.
func TestUnknownErrorsGoOutAsAConstantText(t *testing.T) {
	t.Parallel()
	secret := errors.New("connect to 10.1.2.3:5432 as app: SELECT secret")
	for name, tt := range map[string]struct {
		err             error
		code            int
		reason, message string
		hidden          bool
	}{
		"unknown":             {secret, 500, "INTERNAL", "internal error", true},
		"wrapped":             {fmt.Errorf("get: %w", secret), 500, "INTERNAL", "internal error", true},
		"canceled":            {context.Canceled, 500, "INTERNAL", "internal error", true},
		"permanent":           {event.Permanent(secret), 500, "INTERNAL", "internal error", true},
		"Kratos":              {kerrors.NotFound("GONE", "no such device"), 404, "GONE", "no such device", false},
		"Kratos, wrapped":     {fmt.Errorf("get: %w", kerrors.NotFound("GONE", "no such device").WithCause(secret)), 404, "GONE", "no such device", false},
		"Kratos, no error":    {kerrors.New(302, "MOVED", "there"), 500, "MOVED", "there", false},
		"Kratos, four digit":  {kerrors.New(1000, "ODD", ""), 500, "ODD", "", false},
		"ours":                {&event.Error{Op: "publish", Reason: event.ReasonTimeout, Cause: secret}, 504, "TIMEOUT", "mqtt publish failed: timeout", false},
		"gRPC":                {status.Error(codes.NotFound, "no row"), 404, "", "no row", false},
		"gRPC, no connection": {status.Error(codes.Unavailable, "dial tcp 10.1.2.3:5432"), 503, "INTERNAL", "internal error", true},
		"time":                {fmt.Errorf("%w: %w", secret, context.DeadlineExceeded), 504, "TIMEOUT", "the handler's time was up", false},
	} {
		k, hidden := ForRequester(tt.err)
		got := StatusOf(k)
		if got[0].Value != fmt.Sprint(tt.code) || got[2].Value != tt.message || hidden != tt.hidden || tt.reason != "" && got[1].Value != tt.reason {
			t.Errorf("%s: %v, hidden %v", name, got, hidden)
		}
		if strings.Contains(fmt.Sprint(got), "10.1.2.3") {
			t.Errorf("%s: tells %v", name, got)
		}
	}
}
