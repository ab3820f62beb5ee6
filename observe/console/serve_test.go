package console_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/reflect/protoregistry"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/event/message"
	"github.com/kratos-mqtt/kratos-mqtt/observe"
	"github.com/kratos-mqtt/kratos-mqtt/observe/console"
	"github.com/kratos-mqtt/kratos-mqtt/operator"
	"github.com/kratos-mqtt/kratos-mqtt/operator/remote"
)

const token = "a token of many letters"

func newConsole(t *testing.T, o console.Options) *console.Console {
	t.Helper()
	if o.Recorder == nil {
		o.Recorder = console.NewRecorder()
	}
	if o.Probe == nil {
		o.Probe = observe.NewProbe(observe.Limits{})
	}
	if o.Files == nil {
		o.Files = new(protoregistry.Files)
	}
	c, err := console.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func serve(t *testing.T, h http.Handler) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s
}

// reply is what a request was answered with.
type reply struct {
	StatusCode int
	Header     http.Header
	Cookies    []*http.Cookie
}

// send sends a request with the headers, and returns the reply and its body.
func send(t *testing.T, method, url, body string, headers map[string]string) (reply, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for key, value := range headers {
		r.Header.Set(key, value)
	}
	if host := headers["Host"]; host != "" {
		r.Host = host
	}
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	defer client.CloseIdleConnections()
	res, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return reply{res.StatusCode, res.Header, res.Cookies()}, string(text)
}

// The console works under any prefix, with and without http.StripPrefix.
func TestPrefixes(t *testing.T) {
	t.Parallel()
	c := newConsole(t, console.Options{Service: "plants"})
	mux := http.NewServeMux()
	mux.Handle("/", c)
	mux.Handle("/bare/", c)
	mux.Handle("/cut/", http.StripPrefix("/cut", c))
	mux.Handle("/tight/", http.StripPrefix("/tight/", c))
	s := serve(t, mux)
	for _, prefix := range []string{"/", "/bare/", "/cut/"} {
		res, text := send(t, http.MethodGet, s.URL+prefix, "", nil)
		if res.StatusCode != http.StatusOK || !strings.Contains(text, `src="assets/app.js"`) {
			t.Errorf("%s: %d %.100q", prefix, res.StatusCode, text)
		}
		for name, want := range map[string]string{
			"Content-Security-Policy": "default-src 'self'", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "X-Frame-Options": "DENY",
		} {
			if got := res.Header.Get(name); !strings.HasPrefix(got, want) {
				t.Errorf("%s: %s is %q", prefix, name, got)
			}
		}
		if res, _ := send(t, http.MethodGet, s.URL+prefix+"assets/app.js", "", nil); res.StatusCode != http.StatusOK || res.Header.Get("Content-Type") != "text/javascript; charset=utf-8" {
			t.Errorf("%s: app.js: %v", prefix, res)
		}
		if res, text := send(t, http.MethodGet, s.URL+prefix+"api/info", "", nil); res.StatusCode != http.StatusOK || !strings.Contains(text, `"service":"plants"`) {
			t.Errorf("%s: %d %s", prefix, res.StatusCode, text)
		}
	}
	res, _ := send(t, http.MethodGet, s.URL+"/deep/place?x=1", "", nil)
	if res.StatusCode != http.StatusTemporaryRedirect || res.Header.Get("Location") != "./place/" {
		t.Errorf("%d %q", res.StatusCode, res.Header.Get("Location"))
	}
	for _, path := range []string{"/assets/nothing", "/api/nothing", "/api/operator/ListLetters"} {
		if res, _ := send(t, http.MethodGet, s.URL+path, "", nil); res.StatusCode != http.StatusNotFound {
			t.Errorf("%s: %d", path, res.StatusCode)
		}
	}
}

// A page of another site, a name that another site has made its own, and a program without the
// token get nothing.
func TestStrangersAreRefused(t *testing.T) {
	t.Parallel()
	open := serve(t, newConsole(t, console.Options{Operator: operator.New(operator.Options{})}))
	guarded := serve(t, newConsole(t, console.Options{Operator: operator.New(operator.Options{}), Token: token}))
	asJSON := map[string]string{"Content-Type": "application/json"}
	entered, _ := send(t, http.MethodPost, guarded.URL+"/api/login", `{"token":"`+token+`"}`, asJSON)
	cookie := entered.Cookies[0].Name + "="
	with := func(more ...string) map[string]string {
		h := map[string]string{"Content-Type": "application/json"}
		for i := 0; i < len(more); i += 2 {
			h[more[i]] = more[i+1]
		}
		return h
	}
	for name, test := range map[string]struct {
		server       *httptest.Server
		method, path string
		headers      map[string]string
		want         int
	}{
		"read":                {open, http.MethodGet, "flow", nil, http.StatusOK},
		"read by a page":      {open, http.MethodGet, "flow", with("Sec-Fetch-Site", "cross-site"), http.StatusForbidden},
		"same site":           {open, http.MethodGet, "stream", with("Sec-Fetch-Site", "same-site"), http.StatusForbidden},
		"name of another":     {open, http.MethodGet, "flow", with("Host", "evil.example"), http.StatusForbidden},
		"by a proxy":          {open, http.MethodGet, "flow", with("X-Forwarded-For", "192.0.2.1"), http.StatusForbidden},
		"origin":              {open, http.MethodPost, "publish", with("Origin", "http://evil.example"), http.StatusForbidden},
		"form":                {open, http.MethodPost, "operator/DeleteLetters", map[string]string{"Content-Type": "text/plain"}, http.StatusBadRequest},
		"get that acts":       {open, http.MethodGet, "operator/DeleteLetters", nil, http.StatusMethodNotAllowed},
		"get that publishes":  {open, http.MethodGet, "publish", nil, http.StatusMethodNotAllowed},
		"login by a page":     {guarded, http.MethodPost, "login", with("Origin", "http://evil.example"), http.StatusForbidden},
		"no token":            {guarded, http.MethodGet, "health", nil, http.StatusUnauthorized},
		"no token, stream":    {guarded, http.MethodGet, "stream", nil, http.StatusUnauthorized},
		"no token, acts":      {guarded, http.MethodPost, "operator/ListLetters", asJSON, http.StatusUnauthorized},
		"wrong token":         {guarded, http.MethodGet, "health", with("Authorization", "Bearer x"), http.StatusUnauthorized},
		"forged cookie":       {guarded, http.MethodGet, "health", with("Cookie", cookie+"99999999999."+strings.Repeat("0", 64)), http.StatusUnauthorized},
		"empty cookie":        {guarded, http.MethodGet, "health", with("Cookie", cookie), http.StatusUnauthorized},
		"token":               {guarded, http.MethodGet, "health", with("Authorization", "Bearer "+token), http.StatusOK},
		"token, another site": {guarded, http.MethodGet, "health", with("Authorization", "Bearer "+token, "Sec-Fetch-Site", "cross-site"), http.StatusForbidden},
	} {
		if res, text := send(t, test.method, test.server.URL+"/api/"+test.path, "{}", test.headers); res.StatusCode != test.want {
			t.Errorf("%s: %d %s, want %d", name, res.StatusCode, text, test.want)
		}
	}
	c := newConsole(t, console.Options{})
	if err := c.Check(&net.TCPAddr{IP: net.IPv4zero}); !errors.Is(err, remote.ErrNoToken) {
		t.Errorf("%v", err)
	}
	if _, err := console.New(console.Options{Token: "short"}); err == nil || !strings.Contains(err.Error(), "Recorder") || !strings.Contains(err.Error(), "at least 16") {
		t.Errorf("%v", err)
	}
}

// The token is entered once. The cookie does not have it, no script can read it, and it is not
// sent for pages of other sites.
func TestLogin(t *testing.T) {
	t.Parallel()
	refused := make(chan operator.Action, 10)
	audit := func(a operator.Action) { refused <- a }
	s := serve(t, newConsole(t, console.Options{Token: token, Operator: operator.New(operator.Options{}), Audit: audit}))
	login := func(with string) reply {
		res, _ := send(t, http.MethodPost, s.URL+"/api/login", `{"token":"`+with+`"}`, map[string]string{"Content-Type": "application/json"})
		return res
	}
	for range 3 {
		if res := login("another token"); res.StatusCode != http.StatusUnauthorized || len(res.Cookies) > 0 {
			t.Errorf("%d", res.StatusCode)
		}
	}
	if a := <-refused; a.Name != "login" || !strings.HasPrefix(a.By, "127.0.0.1:") || a.Err == nil || strings.Contains(a.Err.Error(), "another token") {
		t.Errorf("%+v", a)
	}
	if len(refused) > 1 { // of two more, of which a slow machine lets one pass
		t.Errorf("%d more within a second", len(refused))
	}
	cookies := login(token).Cookies
	if len(cookies) != 1 {
		t.Fatalf("%v", cookies)
	}
	cookie := cookies[0]
	if !cookie.HttpOnly || cookie.SameSite != http.SameSiteStrictMode || cookie.MaxAge != 12*3600 || strings.Contains(cookie.Value, token) {
		t.Errorf("%+v", cookie)
	}
	header := map[string]string{"Cookie": cookie.Name + "=" + cookie.Value, "Content-Type": "application/json"}
	if res, text := send(t, http.MethodGet, s.URL+"/api/health", "", header); res.StatusCode != http.StatusOK {
		t.Errorf("%d %s", res.StatusCode, text)
	}
	if res, text := send(t, http.MethodPost, s.URL+"/api/operator/ListLetters", "{}", header); res.StatusCode != http.StatusNotImplemented {
		t.Errorf("%d %s", res.StatusCode, text) // the operator has no letters, and was asked
	}
	header["Sec-Fetch-Site"] = "cross-site"
	if res, _ := send(t, http.MethodGet, s.URL+"/api/health", "", header); res.StatusCode != http.StatusForbidden {
		t.Errorf("another site: %d", res.StatusCode)
	}
}

// A browser sends cookies to all ports of a host: two consoles do not replace each other's.
func TestConsolesOfOneHost(t *testing.T) {
	t.Parallel()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	browser := &http.Client{Jar: jar, Transport: new(http.Transport)}
	t.Cleanup(browser.CloseIdleConnections)
	do := func(method, url, body string) int {
		r, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/json")
		res, err := browser.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		return res.StatusCode
	}
	var servers []*httptest.Server
	for _, each := range []string{token, "another token of many letters"} {
		s := serve(t, newConsole(t, console.Options{Token: each}))
		if code := do(http.MethodPost, s.URL+"/api/login", `{"token":"`+each+`"}`); code != http.StatusOK {
			t.Fatal(code)
		}
		servers = append(servers, s)
	}
	if code := do(http.MethodGet, servers[0].URL+"/api/health", ""); code != http.StatusOK {
		t.Errorf("the first one after the login to the second: %d", code)
	}
	if code := do(http.MethodPost, servers[1].URL+"/api/logout", ""); code != http.StatusOK {
		t.Fatal(code)
	}
	for i, want := range []int{http.StatusOK, http.StatusUnauthorized} {
		if code := do(http.MethodGet, servers[i].URL+"/api/health", ""); code != want {
			t.Errorf("console %d after the logout of the second: %d, want %d", i, code, want)
		}
	}
}

// events opens the stream and returns a function that waits for an event with a name.
func events(t *testing.T, url string) (next func(name string) string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Transport: new(http.Transport)}
	res, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		_ = res.Body.Close()
		client.CloseIdleConnections()
	})
	lines := bufio.NewScanner(res.Body)
	lines.Buffer(nil, 1<<20)
	return func(name string) string {
		t.Helper()
		found := false
		for lines.Scan() {
			if found {
				return strings.TrimPrefix(lines.Text(), "data: ")
			}
			found = lines.Text() == "event: "+name
		}
		t.Fatalf("no event %q: %v", name, lines.Err())
		return ""
	}
}

// A page sees the messages that its filter matches, with their outcome, at most 200 a second;
// without a page nobody asks for payloads.
func TestLiveMessages(t *testing.T) {
	t.Parallel()
	recorder := console.NewRecorder()
	c := newConsole(t, console.Options{Recorder: recorder})
	s := serve(t, c)
	if recorder.WantsPayloads() {
		t.Error("payloads are wanted without a page")
	}
	next := events(t, s.URL+"/api/stream?messages=1&filter=plants%2F%2B")
	next("flow") // the page is known
	if !recorder.WantsPayloads() {
		t.Error("no payloads are wanted with a page")
	}
	payload := []byte(`{"n":9007199254740993,"name":"<b>fern</b>"}`)
	arrive := func(topic string) {
		recorder.OnArrival(event.ArrivalInfo{
			Delivery: event.Delivery{Topic: topic, Filter: "plants/+", QoS: 1, Size: len(payload)}, Duplicate: true, ID: "m1",
			Message: message.Message{Topic: topic, Payload: payload, Headers: []message.Header{{Key: "k", Value: "v"}}},
		})
	}
	arrive("animals/1")
	arrive("plants/1")
	copy(payload, "overwritten") // it is valid during the call only
	var m struct {
		Topic, Text, Decoder, ID, Kind, Direction string
		Duplicate                                 bool
		Headers                                   [][2]string
	}
	if err := json.Unmarshal([]byte(next("message")), &m); err != nil {
		t.Fatal(err)
	}
	if m.Topic != "plants/1" || m.Text != `{"n":9007199254740993,"name":"<b>fern</b>"}` || m.Decoder != "json" || m.ID != "m1" || m.Kind != "message" || !m.Duplicate || len(m.Headers) != 1 {
		t.Errorf("%+v", m)
	}
	recorder.OnDeadLetter(event.DeadLetterInfo{Delivery: event.Delivery{Topic: "plants/1"}, ID: "letter", Err: errors.New("no water")})
	if text := next("message"); !strings.Contains(text, `"kind":"dead_letter"`) || !strings.Contains(text, "no water") || !strings.Contains(text, `"letter":"letter"`) {
		t.Error(text)
	}
	for range 1000 {
		arrive("plants/2")
	}
	var dropped struct{ Count int }
	if err := json.Unmarshal([]byte(next("dropped")), &dropped); err != nil {
		t.Fatal(err)
	}
	if dropped.Count < 500 || dropped.Count > 1000 {
		t.Errorf("%d of 1000 were dropped", dropped.Count)
	}
	if res, _ := send(t, http.MethodGet, s.URL+"/api/stream?messages=1&filter=a%23", "", nil); res.StatusCode != http.StatusBadRequest {
		t.Errorf("a bad filter: %d", res.StatusCode)
	}
	c.Close() // ends the stream, whose page is then forgotten
	for deadline := time.After(10 * time.Second); recorder.WantsPayloads(); {
		select {
		case <-deadline:
			t.Fatal("the page is not forgotten")
		case <-time.After(time.Millisecond):
		}
	}
}

// At most 16 pages look at the messages.
func TestViewersAreBounded(t *testing.T) {
	t.Parallel()
	s := serve(t, newConsole(t, console.Options{}))
	for range 16 {
		events(t, s.URL+"/api/stream?messages=1")("flow")
	}
	if res, text := send(t, http.MethodGet, s.URL+"/api/stream?messages=1", "", nil); res.StatusCode != http.StatusTooManyRequests {
		t.Errorf("%d %s", res.StatusCode, text)
	}
}
