package check_test

import (
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/kratos-mqtt/kratos-mqtt/operator/remote"
	"github.com/kratos-mqtt/kratos-mqtt/tools/kratos-mqtt/internal/check"
	"github.com/kratos-mqtt/kratos-mqtt/tools/kratos-mqtt/internal/service"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// open returns a service that answers paths with texts; of several texts each is answered once,
// the last one again and again.
func open(t *testing.T, texts map[string][]string) *service.Service {
	t.Helper()
	asked := make(map[string]int)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		path := strings.TrimPrefix(r.URL.Path, remote.Path)
		list := texts[path]
		if len(list) == 0 {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(list[min(asked[path], len(list)-1)]))
		asked[path]++
	}))
	t.Cleanup(server.Close)
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	operator, err := remote.NewClient(server.URL, remote.ClientOptions{HTTP: client})
	if err != nil {
		t.Fatal(err)
	}
	return service.New(operator, client)
}

const (
	ready    = `{"status":"ready"}`
	ages     = "# TYPE kratosmqtt_message_age_seconds histogram\nkratosmqtt_message_age_seconds_bucket{le=\"1\"} 1\nkratosmqtt_message_age_seconds_bucket{le=\"+Inf\"} 1\nkratosmqtt_message_age_seconds_sum 1\nkratosmqtt_message_age_seconds_count 1\n"
	older    = "# TYPE kratosmqtt_message_age_seconds histogram\nkratosmqtt_message_age_seconds_bucket{le=\"1\"} 1\nkratosmqtt_message_age_seconds_bucket{le=\"+Inf\"} 9\nkratosmqtt_message_age_seconds_sum 1\nkratosmqtt_message_age_seconds_count 9\n"
	manyOnce = `{"groups":[{"count":"5"}],"next":"more"}`
)

func TestRun(t *testing.T) {
	t.Parallel()
	letters := check.Limits{Letters: check.Limit{Warning: 1, Critical: 8}}
	depth := check.Limits{Outbox: check.Limit{Warning: 5, Critical: 10}}
	for name, test := range map[string]struct {
		texts  map[string][]string
		limits check.Limits
		want   check.State
		text   string // in the output
	}{
		"nothing answers":       {nil, letters, check.Critical, "status 404"},
		"ready":                 {map[string][]string{"/readyz": {ready}}, check.Limits{}, check.OK, "[ok] readiness: ready"},
		"degraded":              {map[string][]string{"/readyz": {`{"status":"degraded","findings":[{"reason":"PAUSED","text":"a|b"}]}`}}, check.Limits{}, check.Warning, "a/b (PAUSED)"},
		"not ready":             {map[string][]string{"/readyz": {`{"status":"not ready"}`}}, check.Limits{}, check.Critical, "not ready"},
		"another status":        {map[string][]string{"/readyz": {`{"status":"fine"}`}}, check.Limits{}, check.Unknown, "fine"},
		"no metrics":            {map[string][]string{"/readyz": {ready}}, depth, check.Unknown, "[unknown] metrics: "},
		"no outbox":             {map[string][]string{"/readyz": {ready}, "/metrics": {"up 1\n"}}, depth, check.OK, "checks made: 1"},
		"outbox has room":       {map[string][]string{"/readyz": {ready}, "/metrics": {"kratosmqtt_outbox_depth 4\n"}}, depth, check.OK, "outbox=4;5;10;0"},
		"outbox fills":          {map[string][]string{"/readyz": {ready}, "/metrics": {"kratosmqtt_outbox_depth 5\n"}}, depth, check.Warning, "MQTT WARNING - 5 in the outbox |"},
		"outbox is full":        {map[string][]string{"/readyz": {ready}, "/metrics": {"kratosmqtt_outbox_depth 10\n"}}, depth, check.Critical, "MQTT CRITICAL - 10 in the outbox |"},
		"no operator":           {map[string][]string{"/readyz": {ready}}, letters, check.Unknown, "is not an operator"},
		"warning over unknown":  {map[string][]string{"/readyz": {`{"status":"degraded"}`}}, letters, check.Warning, "[unknown] letters: "},
		"letters of both pages": {map[string][]string{"/readyz": {ready}, "ListGroups": {manyOnce, `{"groups":[{"count":"2"}]}`}}, letters, check.Warning, "letters: 7 stored"},
		"letters, at least":     {map[string][]string{"/readyz": {ready}, "ListGroups": {`{"groups":[{"count":"8","at_least":true}]}`}}, letters, check.Critical, "8 or more stored"},
		"letters without end":   {map[string][]string{"/readyz": {ready}, "ListGroups": {manyOnce}}, letters, check.Critical, "10 or more stored"},
		"messages get old": {
			map[string][]string{"/readyz": {ready}, "/metrics": {ages, older}},
			check.Limits{Sample: time.Millisecond, MessageAge: check.Limit{Critical: 60}},
			check.Critical, "message_age=U;;60;0",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := check.Run(t.Context(), open(t, test.texts), test.limits)
			if text := r.Nagios(); r.State != test.want || !strings.Contains(text, test.text) {
				t.Errorf("%v, want %v with %q:\n%s", r.State, test.want, test.text, text)
			}
		})
	}
}

// What a format cannot express is left out, or escaped.
func TestFormats(t *testing.T) {
	t.Parallel()
	endless := math.Inf(1)
	r := check.Report{Service: "http://a\"b\n", State: check.Critical, Results: []check.Result{{Name: "message_age", State: check.Critical, Value: &endless, Unit: "s", Critical: 60, Text: "old"}}}
	text, err := r.JSON()
	if err != nil || text != `{"service":"http://a\"b\n","state":"critical","checks":[{"name":"message_age","state":"critical","unit":"s","critical":60,"text":"old"}]}`+"\n" {
		t.Errorf("%s, %v", text, err)
	}
	for _, want := range []string{
		`kratosmqtt_check_state{service="http://a\"b\n",check="all"} 2`, `kratosmqtt_check_value{service="http://a\"b\n",check="message_age",unit="s"} +Inf`,
	} {
		if got := r.Prometheus(); !strings.Contains(got, want+"\n") {
			t.Errorf("no %s in\n%s", want, got)
		}
	}
}
