package remote_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	operatorv1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/operator/v1"
	"github.com/kratos-mqtt/kratos-mqtt/event/deadletter"
	"github.com/kratos-mqtt/kratos-mqtt/event/deadletter/deadlettertest"
	"github.com/kratos-mqtt/kratos-mqtt/operator"
	"github.com/kratos-mqtt/kratos-mqtt/operator/remote"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const token = "correct horse battery"

// letters are those of a store in memory; the one with the topic plant/2 cannot be published.
type letters struct{ store *deadletter.Memory }

func (l letters) DeadLetters() (deadletter.Store, error) { return l.store, nil }

func (letters) PublishLetter(_ context.Context, l *deadletter.Letter) error {
	if l.Topic == "plant/2" {
		return fmt.Errorf("%w: no", deadletter.ErrUnfit)
	}
	return nil
}

// newServer returns a server of n dead letters.
func newServer(t *testing.T, n int, token string) (*remote.Server, *deadletter.Memory) {
	t.Helper()
	store := deadletter.NewMemory(0)
	for i := range n {
		l := deadlettertest.Letter(i, deadletter.Dead)
		l.Key, l.Reason, l.ErrorType = fmt.Sprintf("key %d", i%2), fmt.Sprintf("no plant %d", i), "NO_PLANT"
		if err := store.Put(t.Context(), l); err != nil {
			t.Fatal(err)
		}
	}
	return remote.New(operator.New(operator.Options{Source: letters{store}}), token), store
}

// request is one for a method, as the tests change it.
func request(t *testing.T, url, method, body string, change func(*http.Request)) (int, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url+remote.Path+method, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Authorization", "Bearer "+token)
	if change != nil {
		change(r)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	reply, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = reply.Body.Close() }()
	text, err := io.ReadAll(reply.Body)
	if err != nil {
		t.Fatal(err)
	}
	return reply.StatusCode, string(text)
}

// What is not right is refused, and nothing happens.
func TestHTTPRefuses(t *testing.T) {
	t.Parallel()
	guarded, store := newServer(t, 5, token)
	open, openStore := newServer(t, 5, "")
	with, without := httptest.NewServer(guarded.Handler()), httptest.NewServer(open.Handler())
	t.Cleanup(with.Close)
	t.Cleanup(without.Close)
	header := func(key, value string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set(key, value) }
	}
	for name, test := range map[string]struct {
		url, method, body string
		change            func(*http.Request)
		want              int
	}{
		"no token":          {with.URL, "DeleteLetters", `{"all":true}`, func(r *http.Request) { r.Header.Del("Authorization") }, 401},
		"another token":     {with.URL, "DeleteLetters", `{"all":true}`, header("Authorization", "Bearer correct horse"), 401},
		"a longer token":    {with.URL, "DeleteLetters", `{"all":true}`, header("Authorization", "Bearer "+token+"x"), 401},
		"another scheme":    {with.URL, "DeleteLetters", `{"all":true}`, header("Authorization", "Basic "+token), 401},
		"no token to pause": {with.URL, "PauseSubscription", `{"name":"a"}`, func(r *http.Request) { r.Header.Del("Authorization") }, 401},
		"nothing waits":     {with.URL, "DeleteWaiting", `{"all":true}`, nil, 501},
		"no token to drop":  {with.URL, "DeleteWaiting", `{"all":true}`, func(r *http.Request) { r.Header.Del("Authorization") }, 401},
		"no subscriptions":  {with.URL, "ListSubscriptions", `{}`, nil, 501},
		"a long reason":     {with.URL, "PauseSubscription", `{"name":"a","why":"` + strings.Repeat("x", 257) + `"}`, nil, 400},
		"two tokens":        {with.URL, "DeleteLetters", `{"all":true}`, func(r *http.Request) { r.Header.Add("Authorization", "Bearer x") }, 401},
		"a form":            {with.URL, "DeleteLetters", `{"all":true}`, header("Content-Type", "application/x-www-form-urlencoded"), 400},
		"plain text":        {with.URL, "DeleteLetters", `{"all":true}`, header("Content-Type", "text/plain"), 400},
		"no type":           {with.URL, "DeleteLetters", `{"all":true}`, func(r *http.Request) { r.Header.Del("Content-Type") }, 400},
		"another site":      {with.URL, "DeleteLetters", `{"all":true}`, header("Origin", "https://evil.example"), 403},
		"no site":           {without.URL, "DeleteLetters", `{"all":true}`, header("Origin", "null"), 403},
		"fetched by a site": {without.URL, "DeleteLetters", `{"all":true}`, header("Sec-Fetch-Site", "cross-site"), 403},
		"another name":      {without.URL, "DeleteLetters", `{"all":true}`, func(r *http.Request) { r.Host = "evil.example" }, 403},
		"by a proxy":        {without.URL, "DeleteLetters", `{"all":true}`, header("X-Forwarded-For", "192.0.2.1"), 403},
		"by an old proxy":   {without.URL, "DeleteLetters", `{"all":true}`, header("X-Forwarded-Host", "plants.example"), 403},
		"GET":               {with.URL, "DeleteLetters", ``, func(r *http.Request) { r.Method = http.MethodGet }, 405},
		"no method":         {with.URL, "DeleteEverything", `{}`, nil, 404},
		"nothing is chosen": {with.URL, "DeleteLetters", `{}`, nil, 400},
		"no JSON":           {with.URL, "DeleteLetters", `{"all":`, nil, 400},
		"an unknown field":  {with.URL, "DeleteLetters", `{"all":true,"quickly":true}`, nil, 400},
		"a large request":   {with.URL, "DeleteLetters", `{"ids":["` + strings.Repeat("x", 5<<20) + `"]}`, nil, 413},
		"large criteria":    {with.URL, "ListLetters", `{"criteria":{"topic":"` + strings.Repeat("+/", 40_000) + `#"}}`, nil, 400},
		"bad criteria":      {with.URL, "DeleteLetters", `{"criteria":{"topic":"#/a"}}`, nil, 400},
		"deep JSON":         {with.URL, "DeleteLetters", strings.Repeat(`{"criteria":`, 5000), nil, 400},
		"no letter":         {with.URL, "GetLetter", `{"id":"1"}`, nil, 404},
		"no quarantine":     {with.URL, "ListQuarantined", `{}`, nil, 501},
		"no archive":        {with.URL, "ArchiveLetters", `{"all":true}`, nil, 501},
		"a bad state":       {with.URL, "ListLetters", `{"state":7}`, nil, 400},
		"a bad cursor":      {with.URL, "DeleteLetters", `{"all":true,"cursor":"../.."}`, nil, 400},
		"confirmed by none": {with.URL, "ReplayLetters", `{"all":true,"confirmed":true}`, nil, 400},
		"an anonymous edit": {with.URL, "ReplayEdited", `{"id":"` + deadlettertest.ID(1) + `","text":"{}"}`, nil, 400},
		"more than a page":  {with.URL, "ListLetters", `{"limit":100000}`, nil, 400},
		"without a token, a form": {
			without.URL, "DeleteLetters", `{"all":true}`, header("Content-Type", "multipart/form-data; boundary=x"), 400,
		},
	} {
		if code, text := request(t, test.url, test.method, test.body, test.change); code != test.want || !json.Valid([]byte(text)) {
			t.Errorf("%s: %d %s, want %d", name, code, text, test.want)
		}
	}
	for _, s := range []*deadletter.Memory{store, openStore} {
		if stats, err := s.Stats(t.Context()); err != nil || stats.Dead != 5 {
			t.Errorf("%d letters left, want 5: %v", stats.Dead, err)
		}
	}
}

// Without a token a caller elsewhere is refused, and a program does not begin to serve there.
func TestBeyondLoopback(t *testing.T) {
	t.Parallel()
	open, _ := newServer(t, 1, "")
	for addr, want := range map[string]int{"192.0.2.1:1234": 403, "[2001:db8::1]:1234": 403, "": 403, "127.0.0.1:1234": 200, "[::1]:1234": 200} {
		r := httptest.NewRequest(http.MethodPost, "http://localhost"+remote.Path+"ListLetters", strings.NewReader(`{}`))
		r.RemoteAddr = addr
		r.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		if open.Handler().ServeHTTP(w, r); w.Code != want {
			t.Errorf("from %q: %d, want %d", addr, w.Code, want)
		}
	}
	guarded, _ := newServer(t, 0, token)
	for addr, beyond := range map[string]bool{"127.0.0.1:1": false, "[::1]:1": false, "0.0.0.0:1": true, "192.0.2.1:1": true, ":1": true} {
		a, err := net.ResolveTCPAddr("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		if err := open.Check(a); errors.Is(err, remote.ErrNoToken) != beyond {
			t.Errorf("%s without a token: %v", addr, err)
		}
		if err := guarded.Check(a); err != nil {
			t.Errorf("%s with a token: %v", addr, err)
		}
	}
}

// A bulk operation by HTTP: seen, tried, carried out, with the letter that failed named.
func TestHTTP(t *testing.T) {
	t.Parallel()
	s, store := newServer(t, 6, token)
	server := httptest.NewServer(http.StripPrefix("/admin", s.Handler()))
	t.Cleanup(server.Close)
	call := func(method, body string, reply any) {
		t.Helper()
		code, text := request(t, server.URL+"/admin", method, body, nil)
		if code != http.StatusOK {
			t.Fatalf("%s: %d %s", method, code, text)
		}
		if err := json.Unmarshal([]byte(text), reply); err != nil {
			t.Fatal(err)
		}
	}
	var groups struct {
		Groups []struct{ Fingerprint, Count, Pattern string }
	}
	call("ListGroups", `{}`, &groups)
	if len(groups.Groups) != 1 || groups.Groups[0].Count != "6" || groups.Groups[0].Pattern != "no plant #" {
		t.Fatalf("%+v", groups)
	}
	var outcome struct {
		Selected, Done, Failed, Held, Next string
		Problems                           []struct{ ID, Topic, Error string }
	}
	criteria := fmt.Sprintf(`{"criteria":{"fingerprint":%q}`, groups.Groups[0].Fingerprint)
	call("ReplayLetters", criteria+`,"dry_run":true}`, &outcome)
	if outcome.Selected != "6" || outcome.Done != "0" {
		t.Errorf("%+v", outcome)
	}
	call("ReplayLetters", criteria+`,"by":"me"}`, &outcome)
	if outcome.Done != "4" || outcome.Failed != "1" || outcome.Held != "1" || len(outcome.Problems) != 1 || outcome.Problems[0].Topic != "plant/2" {
		t.Errorf("%+v", outcome)
	}
	var letter struct {
		Letter        struct{ Topic, State string }
		Decoder, Text string
	}
	call("GetLetter", fmt.Sprintf(`{"id":%q}`, deadlettertest.ID(4)), &letter)
	if letter.Letter.Topic != "plant/4" || letter.Letter.State != "STATE_DEAD" || letter.Text != "payload 4" {
		t.Errorf("%+v", letter)
	}
	if stats, err := store.Stats(t.Context()); err != nil || stats.Dead != 2 {
		t.Errorf("%d letters left, want 2: %v", stats.Dead, err)
	}
}

// The same by gRPC, where the token is checked before the request is decoded.
func TestGRPC(t *testing.T) {
	t.Parallel()
	s, store := newServer(t, 6, token)
	lis, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer()
	s.Register(server)
	done := make(chan error, 1)
	go func() { done <- server.Serve(lis) }()
	t.Cleanup(func() {
		server.Stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	conn, err := grpc.NewClient(lis.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	client := operatorv1.NewOperatorServiceClient(conn)
	for _, bad := range []string{"", "Bearer", "Bearer x", "bearer " + token + "x", token} {
		ctx := metadata.AppendToOutgoingContext(t.Context(), "authorization", bad)
		if _, err := client.DeleteLetters(ctx, &operatorv1.ActOnLettersRequest{All: true}); status.Code(err) != codes.Unauthenticated {
			t.Errorf("token %q: %v", bad, err)
		}
	}
	ctx := metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer "+token)
	if _, err := client.DeleteLetters(ctx, &operatorv1.ActOnLettersRequest{}); status.Code(err) != codes.InvalidArgument {
		t.Errorf("nothing chosen: %v", err)
	}
	page, err := client.ListLetters(ctx, &operatorv1.ListLettersRequest{Limit: 4, Criteria: &operatorv1.Criteria{Topic: "plant/+"}})
	if err != nil || len(page.GetLetters()) != 4 || page.GetNext() != deadlettertest.ID(3) || page.GetLetters()[1].GetErrorType() != "NO_PLANT" {
		t.Fatalf("%v, %v", page, err)
	}
	first, err := client.DeleteLetters(ctx, &operatorv1.ActOnLettersRequest{All: true, Limit: 4})
	if err != nil || first.GetDone() != 4 || first.GetNext() == "" {
		t.Fatalf("%v, %v", first, err)
	}
	second, err := client.DeleteLetters(ctx, &operatorv1.ActOnLettersRequest{All: true, Cursor: first.GetNext()})
	if err != nil || second.GetDone() != 2 || second.GetNext() != "" {
		t.Errorf("%v, %v", second, err)
	}
	if stats, err := store.Stats(t.Context()); err != nil || stats.Dead != 0 {
		t.Errorf("%d letters left: %v", stats.Dead, err)
	}
}

func TestToken(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte(" 0123456789abcdef\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{"": "", file: "0123456789abcdef"} {
		if got, err := remote.Token(path, ""); got != want || err != nil {
			t.Errorf("file %q: %q, %v", path, got, err)
		}
	}
	if got, err := remote.Token("", " 0123456789abcdef\n"); got != "0123456789abcdef" || err != nil {
		t.Errorf("a text: %q, %v", got, err)
	}
	if _, err := remote.Token("", "short"); err == nil || strings.Contains(err.Error(), "short") || !strings.Contains(err.Error(), "want at least") {
		t.Errorf("a short token: %v", err)
	}
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{file, filepath.Join(t.TempDir(), "none")} {
		if got, err := remote.Token(path, "0123456789abcdef"); err == nil {
			t.Errorf("file %s without a token: %q", path, got)
		}
	}
}
