package remote_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	operatorv1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/operator/v1"
	"github.com/kratos-mqtt/kratos-mqtt/event/deadletter/deadlettertest"
	"github.com/kratos-mqtt/kratos-mqtt/operator/remote"
)

// served returns a client of a handler.
func served(t *testing.T, h http.Handler, path, token string) *remote.Client {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	c, err := remote.NewClient(server.URL+path, remote.ClientOptions{Token: token})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// The client has the methods of the gRPC client, under any path, and the errors of the server.
func TestClient(t *testing.T) {
	t.Parallel()
	s, store := newServer(t, 6, token)
	c := served(t, http.StripPrefix("/admin", s.Handler()), "/admin/", token)
	page, err := c.ListLetters(t.Context(), &operatorv1.ListLettersRequest{Limit: 4, Criteria: &operatorv1.Criteria{Topic: "plant/+"}})
	if err != nil || len(page.GetLetters()) != 4 || page.GetNext() != deadlettertest.ID(3) || page.GetLetters()[1].GetErrorType() != "NO_PLANT" {
		t.Fatalf("%v, %v", page, err)
	}
	letter, err := c.GetLetter(t.Context(), &operatorv1.GetLetterRequest{Id: deadlettertest.ID(4)})
	if err != nil || letter.GetText() != "payload 4" || string(letter.GetPayload()) != "payload 4" || letter.GetLetter().GetReceived() == nil {
		t.Errorf("%v, %v", letter, err)
	}
	if _, err = c.GetLetter(t.Context(), &operatorv1.GetLetterRequest{Id: "none"}); status.Code(err) != codes.NotFound {
		t.Errorf("no such letter: %v", err)
	}
	if _, err = c.DeleteLetters(t.Context(), &operatorv1.ActOnLettersRequest{}); status.Code(err) != codes.InvalidArgument {
		t.Errorf("nothing chosen: %v", err)
	}
	if _, err = c.ListSubscriptions(t.Context(), &operatorv1.ListSubscriptionsRequest{}); status.Code(err) != codes.Unimplemented {
		t.Errorf("no subscriptions: %v", err)
	}
	other := served(t, s.Handler(), "", token+"x")
	if _, err = other.DeleteLetters(t.Context(), &operatorv1.ActOnLettersRequest{All: true}); status.Code(err) != codes.Unauthenticated {
		t.Errorf("another token: %v", err)
	}
	out, err := c.DeleteLetters(t.Context(), &operatorv1.ActOnLettersRequest{All: true, By: "ann"})
	if err != nil || out.GetDone() != 6 {
		t.Errorf("%v, %v", out, err)
	}
	if stats, err := store.Stats(t.Context()); err != nil || stats.Dead != 0 {
		t.Errorf("%d letters left: %v", stats.Dead, err)
	}
}

// What is not an operator is named, and no token goes to where it sends the client.
func TestClientElsewhere(t *testing.T) {
	t.Parallel()
	var leaked string
	thief := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { leaked += r.Header.Get("Authorization") }))
	t.Cleanup(thief.Close)
	for name, test := range map[string]struct {
		answer func(w http.ResponseWriter, r *http.Request)
		code   codes.Code
		text   string
	}{
		"a page":       {func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("<html>")) }, codes.Unknown, "is not an operator: HTTP status 200"},
		"nothing":      {http.NotFound, codes.Unknown, "HTTP status 404"},
		"a redirect":   {http.RedirectHandler(thief.URL, http.StatusTemporaryRedirect).ServeHTTP, codes.Unknown, "HTTP status 307"},
		"a busy proxy": {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) }, codes.Unavailable, "not available now"},
		"another error": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusForbidden)
			_, _ = w.Write([]byte(`{"code":403,"reason":"NO"}`))
		}, codes.Unknown, "HTTP status 403"},
		"a newer server": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			_, _ = w.Write([]byte(`{"next":"x","fresh":{"a":[1]}}`))
		}, codes.OK, ""},
		"a terminal's escape": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusForbidden)
			_, _ = w.Write([]byte(`{"code":"PermissionDenied","message":"\u001b[2J no"}`))
		}, codes.PermissionDenied, `\x1b[2J no`},
	} {
		c := served(t, http.HandlerFunc(test.answer), "", token)
		_, err := c.ListLetters(t.Context(), &operatorv1.ListLettersRequest{})
		if status.Code(err) != test.code || !strings.Contains(status.Convert(err).Message(), test.text) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if leaked != "" {
		t.Errorf("another server got %q", leaked)
	}
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	c, err := remote.NewClient(gone.URL, remote.ClientOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	if _, err = c.ListLetters(t.Context(), &operatorv1.ListLettersRequest{}); status.Code(err) != codes.Unavailable || strings.Count(err.Error(), gone.URL) != 1 {
		t.Errorf("nobody listens: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err = c.ListLetters(ctx, &operatorv1.ListLettersRequest{}); status.Code(err) != codes.Canceled {
		t.Errorf("canceled: %v", err)
	}
	if _, err = c.ListLetters(expired(t), &operatorv1.ListLettersRequest{}); status.Code(err) != codes.DeadlineExceeded {
		t.Errorf("too late: %v", err)
	}
}

func expired(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), -1)
	t.Cleanup(cancel)
	return ctx
}

func TestClientAddress(t *testing.T) {
	t.Parallel()
	for address, good := range map[string]bool{
		"http://127.0.0.1:8000": true, "https://x/admin/": true, "": false, "127.0.0.1:8000": false, "mqtt://x": false, "http://": false,
		"http://me:secret@x": false, "http://x?a=b": false, "http://x#a": false, "http://me:secret@x%zz": false,
	} {
		c, err := remote.NewClient(address, remote.ClientOptions{Token: token})
		if (err == nil) != good {
			t.Errorf("%q: %v", address, err)
		}
		if err != nil && (strings.Contains(err.Error(), "secret") || !strings.Contains(err.Error(), "want")) {
			t.Errorf("%q: %v", address, err)
		}
		if good && c.Exposed() {
			t.Errorf("%q is exposed", address)
		}
	}
	for address, exposed := range map[string]bool{"http://plant.example": true, "http://[::1]:1": false, "http://localhost:1": false, "https://plant.example": false} {
		if c, err := remote.NewClient(address, remote.ClientOptions{Token: token}); err != nil || c.Exposed() != exposed {
			t.Errorf("%s: exposed %t, want %t, %v", address, !exposed, exposed, err)
		}
	}
}

// A reply that would take far more memory than it has bytes is not decoded.
func TestClientBoundsReplies(t *testing.T) {
	t.Parallel()
	reply := `{"letters":[` + strings.Repeat(`{},`, 1<<20) + `{}]}`
	c := served(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(reply))
	}), "", token)
	if page, err := c.ListLetters(t.Context(), &operatorv1.ListLettersRequest{}); status.Code(err) != codes.ResourceExhausted {
		t.Errorf("%d letters, %v", len(page.GetLetters()), err)
	}
}
