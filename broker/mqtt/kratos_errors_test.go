package mqtt_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"testing"

	kerrors "github.com/go-kratos/kratos/v2/errors"
	khttp "github.com/go-kratos/kratos/v2/transport/http"
	spb "google.golang.org/genproto/googleapis/rpc/status"
	grpccodes "google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/kratos-mqtt/kratos-mqtt/event"
)

// Kratos reads errors of this module as Kratos errors with reason and metadata: within
// the process, over HTTP and over gRPC.
func TestErrorsCrossToKratos(t *testing.T) {
	t.Parallel()
	secret := errors.New("dial tcp 10.1.2.3:1883")
	parameter := &event.ParameterError{Field: "device_id", Character: "+", Problem: "contains the wildcard", Rule: "no"}
	for name, tt := range map[string]struct {
		err      error
		code     int
		overGRPC int // as Kratos reads the gRPC code
		reason   string
		metadata map[string]string
	}{
		"not connected": {&event.Error{Op: "publish", Reason: event.ReasonNotConnected, Cause: secret}, 503, 503, "NOT_CONNECTED", nil},
		"timeout":       {&event.Error{Op: "publish", Reason: event.ReasonTimeout, MayHaveBeenSent: true}, 504, 504, "TIMEOUT", map[string]string{"may_have_been_sent": "true"}},
		"canceled":      {&event.Error{Op: "publish", Reason: event.ReasonCanceled}, 499, 499, "CANCELED", nil},
		"authorized":    {&event.Error{Op: "publish", Reason: event.ReasonNotAuthorized, ByBroker: true}, 403, 403, "NOT_AUTHORIZED", map[string]string{"by_broker": "true"}},
		"quota":         {&event.Error{Op: "publish", Reason: event.ReasonQuota}, 429, 429, "QUOTA_EXCEEDED", nil},
		"too large":     {&event.Error{Op: "publish", Reason: event.ReasonTooLarge}, 413, 400, "TOO_LARGE", nil},
		"refused":       {&event.Error{Op: "publish", Reason: event.ReasonRefused}, 502, 503, "REFUSED", nil},
		"unsupported":   {&event.Error{Op: "publish", Reason: event.ReasonUnsupported}, 501, 501, "UNSUPPORTED", nil},
		"parameter": {
			&event.Error{Op: "publish", Reason: event.ReasonBadTopic, Cause: parameter}, 400, 400, "BAD_TOPIC",
			map[string]string{"field": "device_id", "character": "+", "rule": "no"},
		},
		"of a replier": {&event.StatusError{Code: 422, Reason: "NO_SUCH", Message: "m", Metadata: map[string]string{"k": "v"}}, 422, 400, "NO_SUCH", map[string]string{"k": "v"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			check := func(way string, k *kerrors.Error, code int) {
				if int(k.Code) != code || k.Reason != tt.reason || !maps.Equal(k.Metadata, tt.metadata) || k.Message == "" {
					t.Errorf("%s: %v, want %d %s %v", way, k, code, tt.reason, tt.metadata)
				}
			}
			wrapped := fmt.Errorf("in biz: %w", fmt.Errorf("in data: %w", tt.err))
			for _, err := range []error{tt.err, wrapped, errors.Join(errors.New("other"), wrapped)} {
				check("FromError", kerrors.FromError(err), tt.code)
				if kerrors.Code(err) != tt.code || kerrors.Reason(err) != tt.reason || !errors.Is(kerrors.New(tt.code, tt.reason, ""), err) {
					t.Errorf("Code, Reason and Is of Kratos: %v", err)
				}
				if !errors.Is(err, kerrors.New(tt.code, tt.reason, "another text")) || errors.Is(err, kerrors.New(tt.code, "OTHER", "")) || errors.Is(err, kerrors.New(418, tt.reason, "")) {
					t.Errorf("Is of what biz compares with: %v", err)
				}
				w := httptest.NewRecorder()
				khttp.DefaultErrorEncoder(w, httptest.NewRequest(http.MethodGet, "/", nil), err)
				k := new(kerrors.Error)
				if e := json.Unmarshal(w.Body.Bytes(), k); e != nil || w.Code != tt.code {
					t.Errorf("HTTP: %d, %v, %s", w.Code, e, w.Body)
				}
				check("HTTP", k, tt.code)
				check("gRPC", kerrors.FromError(overGRPC(t, err)), tt.overGRPC)
			}
		})
	}
}

// Kratos errors of a handler, or of a gRPC client that it calls, are read with code,
// reason and metadata, even if gRPC does not have the code.
func TestErrorsCrossFromKratos(t *testing.T) {
	t.Parallel()
	metadata := map[string]string{"field": "name"}
	for _, code := range []int{400, 401, 403, 404, 409, 413, 422, 429, 499, 500, 501, 502, 503, 504} {
		k := kerrors.New(code, "WHY", "what").WithMetadata(metadata).WithCause(&event.Error{Op: "publish", Reason: event.ReasonTimeout})
		for _, err := range []error{k, fmt.Errorf("in biz: %w", k), errors.Join(errors.New("other"), k)} {
			if s := event.StatusOf(err); s.Code != code || s.Reason != "WHY" || s.Message != "what" || !maps.Equal(s.Metadata, metadata) {
				t.Errorf("%d: %+v", code, s)
			}
		}
		s, want := event.StatusOf(overGRPC(t, k)), kerrors.FromError(overGRPC(t, k))
		if s.Code != int(want.Code) || s.Reason != "WHY" || s.Message != "what" || !maps.Equal(s.Metadata, metadata) {
			t.Errorf("%d over gRPC: %+v, want %v", code, s, want)
		}
	}
	for code := grpccodes.OK; code <= grpccodes.Unauthenticated; code++ {
		if code == grpccodes.OK {
			continue // no error
		}
		err := status.Error(code, "text")
		if s, want := event.StatusOf(err), kerrors.FromError(err); s.Code != int(want.Code) || s.Message != want.Message {
			t.Errorf("gRPC %v: %+v, want %v", code, s, want)
		}
	}
	if s := event.StatusOf(errors.New("plain")); s.Code != 500 || s.Message != "plain" || event.StatusOf(nil) != nil {
		t.Errorf("of a plain error: %+v", s)
	}
}

// overGRPC returns err as a gRPC client receives it from a server whose handler
// returned err.
func overGRPC(t *testing.T, err error) error {
	t.Helper()
	s, ok := status.FromError(err)
	if !ok {
		t.Fatalf("no gRPC status: %v", err)
	}
	wire, e := proto.Marshal(s.Proto())
	if e != nil {
		t.Fatal(e)
	}
	received := new(spb.Status)
	if e := proto.Unmarshal(wire, received); e != nil {
		t.Fatal(e)
	}
	return status.FromProto(received).Err()
}
