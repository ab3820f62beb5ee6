package server

import (
	"encoding/json"
	"io"
	nethttp "net/http"
	"strings"
	"testing"
	"time"

	kerrors "github.com/go-kratos/kratos/v2/errors"
	"github.com/go-kratos/kratos/v2/log"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/kratos-mqtt/kratos-mqtt/internal/conf"
)

const validReport = `{"report_type":"event","app_id":"a","app_key":"k","event_name":"login","content":"{}"}`

// serveHTTP runs the HTTP server over s and returns its URL.
func serveHTTP(t *testing.T, s *stub) string {
	t.Helper()
	return serveHTTPWith(t, s, NewRoom(), &conf.Server_HTTP{})
}

// serveHTTPWith is serveHTTP with a room and settings. The default timeout is a minute.
func serveHTTPWith(t *testing.T, s *stub, room *Room, c *conf.Server_HTTP) string {
	t.Helper()
	return serveHTTPOf(t, s, room, newTelemetry(t), c)
}

// serveHTTPOf is serveHTTPWith with the state of a process.
func serveHTTPOf(t *testing.T, s *stub, room *Room, telemetry *Telemetry, c *conf.Server_HTTP) string {
	t.Helper()
	reports, devices := s.services()
	if c.Addr = "127.0.0.1:0"; c.Timeout == nil {
		c.Timeout = durationpb.New(time.Minute)
	}
	srv, cleanup, err := NewHTTPServer(&conf.Server{Http: c}, room, telemetry, reports, devices, log.DefaultLogger)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cleanup)
	endpoint, err := srv.Endpoint()
	if err != nil {
		t.Fatal(err)
	}
	start(t, srv)
	return endpoint.String()
}

// call returns the status code and the decoded JSON body.
func call(t *testing.T, method, url, body string) (int, map[string]any) {
	t.Helper()
	transport := &nethttp.Transport{}
	defer transport.CloseIdleConnections()
	req, err := nethttp.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := transport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	var answer map[string]any
	if err := json.Unmarshal(text, &answer); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return res.StatusCode, answer
}

func TestHTTPAnswers(t *testing.T) {
	t.Parallel()
	url := serveHTTP(t, &stub{})
	for name, test := range map[string]struct {
		method, path, body string
		code               int
		want               string
	}{
		"report":              {"POST", "/v1/reports", validReport, 200, `"accepted":true`},
		"camel case":          {"POST", "/v1/reports", `{"reportType":"user","appId":"a","appKey":"k","eventName":"e","content":"1"}`, 200, `"accepted":true`},
		"recorded":            {"POST", "/v1/reports", strings.Replace(validReport, "event", "weather", 1), 200, `"accepted":false`},
		"every field":         {"POST", "/v1/reports", `{}`, 400, `"metadata":{"app_id":"required","app_key":"required","event_name":"required","report_type":"required"}`},
		"no JSON":             {"POST", "/v1/reports", `{`, 400, `"reason":"CODEC"`},
		"too large a body":    {"POST", "/v1/reports", `{"content":"` + strings.Repeat("x", maxBody) + `"}`, 413, `too large`},
		"too large a content": {"POST", "/v1/reports", `{"content":"` + strings.Repeat("x", 65<<10) + `"}`, 400, `at most 65536 allowed`},
		"list":                {"GET", "/v1/reports?page_size=1", ``, 200, `"eventId":"e1"`},
		"bad page":            {"GET", "/v1/reports?page_size=-1", ``, 400, `page_size`},
		"command":             {"POST", "/v1/devices/d1/commands", `{"name":"restart","arguments":{"delay":5}}`, 200, `"commandId":"`},
		"bad command":         {"POST", "/v1/devices/+/commands", `{}`, 400, `"metadata":{"device_id":"not one level of a topic","name":"required"}`},
		"state":               {"GET", "/v1/devices/d1/state", ``, 200, `"online":false`},
		"telemetry":           {"GET", "/v1/devices/d%201/telemetry", ``, 200, `"eventId":"d 1"`},
	} {
		code, answer := call(t, test.method, url+test.path, test.body)
		text, _ := json.Marshal(answer)
		if code != test.code || !strings.Contains(string(text), test.want) {
			t.Errorf("%s: %d %s, want %d with %s", name, code, text, test.code, test.want)
		}
	}
}

func TestHTTPNeverSucceedsUnpublished(t *testing.T) {
	t.Parallel()
	s := &stub{fail: kerrors.ServiceUnavailable("BROKER_UNAVAILABLE", "down")}
	code, answer := call(t, "POST", serveHTTP(t, s)+"/v1/reports", validReport)
	if code != 503 || answer["reason"] != "BROKER_UNAVAILABLE" {
		t.Errorf("got %d %v", code, answer)
	}
}

func TestFullOutboxSaysWhenToTryAgain(t *testing.T) {
	t.Parallel()
	for reason, want := range map[string]string{"OUTBOX_FULL": "1", "OUTBOX_FAILED": "", "BROKER_UNAVAILABLE": ""} {
		s := &stub{fail: kerrors.ServiceUnavailable(reason, "x")}
		res, err := nethttp.Post(serveHTTP(t, s)+"/v1/reports", "application/json", strings.NewReader(validReport))
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(res.Body)
		_ = res.Body.Close()
		if err != nil || res.StatusCode != nethttp.StatusServiceUnavailable || !strings.Contains(string(text), reason) {
			t.Errorf("%s: %d %s, %v", reason, res.StatusCode, text, err)
		}
		if got := res.Header.Get("Retry-After"); got != want {
			t.Errorf("%s: Retry-After %q, want %q", reason, got, want)
		}
	}
	nethttp.DefaultClient.CloseIdleConnections()
}

func TestNoHTTPServerUnlessConfigured(t *testing.T) {
	t.Parallel()
	srv, cleanup, err := NewHTTPServer(&conf.Server{}, nil, nil, nil, nil, log.DefaultLogger)
	if srv != nil || err != nil {
		t.Errorf("got %v, %v", srv, err)
	}
	cleanup()
}
