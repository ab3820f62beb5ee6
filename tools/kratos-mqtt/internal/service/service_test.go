package service_test

import (
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/kratos-mqtt/kratos-mqtt/observe"
	"github.com/kratos-mqtt/kratos-mqtt/operator/remote"
	"github.com/kratos-mqtt/kratos-mqtt/tools/kratos-mqtt/internal/service"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// open returns a service that answers each path with a text and a code.
func open(t *testing.T, code int, text func(path string) string) *service.Service {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "" {
			t.Errorf("%s gets the token of the operator", r.URL.Path)
		}
		w.WriteHeader(code)
		fmt.Fprint(w, text(r.URL.Path))
	}))
	t.Cleanup(server.Close)
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	operator, err := remote.NewClient(server.URL+"/prefix/", remote.ClientOptions{Token: "a token of many letters", HTTP: client})
	if err != nil {
		t.Fatal(err)
	}
	return service.New(operator, client)
}

func TestReady(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		code int
		text string
		want observe.Status
	}{
		"ready":       {http.StatusOK, `{"status":"ready"}`, observe.Ready},
		"not ready":   {http.StatusServiceUnavailable, `{"status":"not ready","findings":[{"reason":"NO_CLIENT","text":"x"}]}`, observe.NotReady},
		"not ours":    {http.StatusOK, `OK`, ""},
		"no status":   {http.StatusOK, `{}`, ""},
		"not allowed": {http.StatusUnauthorized, `{"status":"ready"}`, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := open(t, test.code, func(path string) string {
				if path != "/prefix/readyz" {
					t.Errorf("asked %s", path)
				}
				return test.text
			}).Ready(t.Context())
			if got.Status != test.want || (err == nil) != (test.want != "") {
				t.Errorf("%v, %v", got, err)
			}
		})
	}
}

// histogram has the buckets of two operations.
const histogram = `# TYPE age histogram
age_bucket{op="a",le="1"} %d
age_bucket{op="a",le="10"} %d
age_bucket{op="a",le="+Inf"} %d
age_sum{op="a"} 1
age_count{op="a"} %[3]d
age_bucket{op="b",le="1"} 1
age_bucket{op="b",le="10"} 1
age_bucket{op="b",le="+Inf"} 1
age_sum{op="b"} 1
age_count{op="b"} 1
`

func TestQuantile(t *testing.T) {
	t.Parallel()
	metrics := func(upTo1, upTo10, all int) service.Metrics {
		m, err := open(t, http.StatusOK, func(string) string { return fmt.Sprintf(histogram, upTo1, upTo10, all) }).Metrics(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	for name, test := range map[string]struct {
		now, before service.Metrics
		want        float64
		known       bool
	}{
		"since the start":  {metrics(98, 100, 100), nil, 10, true},
		"all are young":    {metrics(100, 100, 100), nil, 1, true},
		"now they are":     {metrics(100, 100, 200), metrics(0, 0, 100), 1, true},
		"now they are not": {metrics(100, 100, 200), metrics(100, 100, 100), math.Inf(1), true},
		"none":             {metrics(1, 2, 3), metrics(1, 2, 3), 0, false},
		"unknown":          {nil, nil, 0, false},
	} {
		if got, known := test.now.Quantile("age", 0.99, test.before); got != test.want || known != test.known {
			t.Errorf("%s: %v, %v, want %v, %v", name, got, known, test.want, test.known)
		}
	}
}

func TestValues(t *testing.T) {
	t.Parallel()
	m, err := open(t, http.StatusOK, func(string) string {
		return "# TYPE up gauge\nup{id=\"a\"} 1\nup{id=\"b\"} 2\n# TYPE none gauge\nnone NaN\n# TYPE sum_total counter\nsum_total 5\n"
	}).Metrics(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]float64{"up": 3, "sum_total": 5, "none": -1, "other": -1} {
		got, known := m.Value(name)
		if known != (want >= 0) || known && got != want {
			t.Errorf("%s: %v, %v", name, got, known)
		}
	}
	for code, text := range map[int]string{http.StatusOK: "{", http.StatusNotFound: "up 1\n"} {
		if _, err := open(t, code, func(string) string { return text }).Metrics(t.Context()); err == nil || !strings.Contains(err.Error(), "/metrics") {
			t.Errorf("%d %q: %v", code, text, err)
		}
	}
}
