package command_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// What a service does not serve is named, and the rest is shown.
func TestStatusOfLittle(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/readyz" {
			http.NotFound(w, r)
			return
		}
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = w.Write([]byte(`{"status":"not ready","findings":[{"reason":"NOT_CONNECTED","text":"no \u001b[2J"}]}`))
	}))
	t.Cleanup(server.Close)
	got := user(t, server.URL).run(t, "kratos-mqtt status")
	for _, want := range []string{"status         not ready\n", "NOT_CONNECTED: no \ufffd[2J\n", "unknown        clients: ", "unknown        subscriptions: ", "unknown        dead letters: "} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
}

// Errors begin with what was tried and end with the cause: neither is left out.
func TestStatusShowsCauses(t *testing.T) {
	t.Parallel()
	p, address := newPlant(t, "")
	p.waiting[0].Reason = "mqtt: publish: " + strings.Repeat("x", 1000) + ": connection refused"
	for _, line := range []string{"kratos-mqtt status", "kratos-mqtt outbox inspect"} {
		if got := user(t, address).run(t, line); !strings.Contains(got, "mqtt: publish: x") || !strings.Contains(got, "…xxx") || !strings.Contains(got, "x: connection refused\n") {
			t.Errorf("%s: want beginning and end of the reason in\n%s", line, got)
		}
	}
}

// A service that does not run is named as such.
func TestStatusOfNothing(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.NotFoundHandler())
	server.Close()
	if got, want := user(t, server.URL).run(t, "kratos-mqtt status"), "nothing listens at "+server.URL+": the service does not run"; !strings.Contains(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}
