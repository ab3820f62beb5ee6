package server

import (
	"bytes"
	"context"
	"strings"
	"testing"

	kerrors "github.com/go-kratos/kratos/v2/errors"
	"github.com/go-kratos/kratos/v2/log"
	"github.com/go-kratos/kratos/v2/middleware/logging"

	reportv1 "github.com/kratos-mqtt/kratos-mqtt/api/report/v1"
)

// Neither a panic nor Kratos' logging middleware logs the key of a request.
func TestNoKeysInTheLog(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	logger := log.NewStdLogger(&out)
	req := &reportv1.PostReportRequest{AppId: "a", AppKey: "topsecret", EventName: "e"}
	_, err := recoverPanics(logger)(func(context.Context, any) (any, error) { panic("handler broke") })(t.Context(), req)
	if kerrors.Code(err) != 500 {
		t.Errorf("got %v", err)
	}
	if _, err = logging.Server(logger)(func(context.Context, any) (any, error) { return nil, nil })(t.Context(), req); err != nil {
		t.Error(err)
	}
	text := out.String()
	for _, want := range []string{"handler broke", "recovery_test.go", "*v1.PostReportRequest", "***"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in %s", want, text)
		}
	}
	if strings.Contains(text, "topsecret") || req.AppKey != "topsecret" {
		t.Error(text)
	}
}
