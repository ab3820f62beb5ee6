package server

import (
	"io"
	"net"
	nethttp "net/http"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	reportv1 "github.com/kratos-mqtt/kratos-mqtt/api/report/v1"
	"github.com/kratos-mqtt/kratos-mqtt/internal/conf"
)

// ask sends a request with the given headers; Host sets the host of the request.
func ask(t *testing.T, method, url, body string, headers map[string]string) (int, string, nethttp.Header) {
	t.Helper()
	transport := &nethttp.Transport{}
	defer transport.CloseIdleConnections()
	var reader io.Reader
	if body != "" {
		reader = strings.NewReader(body)
	}
	req, err := nethttp.NewRequestWithContext(t.Context(), method, url, reader)
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range headers {
		if name == "Host" {
			req.Host = value
			continue
		}
		req.Header.Set(name, value)
	}
	res, err := transport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(text), res.Header
}

// No page of another site can send commands or read devices through the loopback
// address of its visitor. Programs and pages of the same site can.
func TestOtherSites(t *testing.T) {
	t.Parallel()
	s := &stub{}
	url := serveHTTPWith(t, s, NewRoom(), &conf.Server_HTTP{Hosts: []string{"reports.example"}, Origins: []string{"https://console.example"}})
	own := strings.TrimPrefix(url, "http://")
	const post, get = "/v1/reports", "/v1/devices/d/state"
	type headers map[string]string
	for name, c := range map[string]struct {
		method  string
		headers headers
		code    int
	}{
		"a program":                    {"POST", headers{}, 200},
		"own page":                     {"POST", headers{"Origin": url, "Sec-Fetch-Site": "same-origin"}, 200},
		"own page of another name":     {"POST", headers{"Host": "reports.example", "Origin": "http://reports.example"}, 200},
		"behind a proxy with TLS":      {"POST", headers{"Host": "reports.example", "Origin": "https://reports.example"}, 200},
		"a site that may":              {"POST", headers{"Origin": "https://console.example", "Sec-Fetch-Site": "cross-site"}, 200},
		"typed":                        {"GET", headers{"Sec-Fetch-Site": "none", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}, 200},
		"a link":                       {"GET", headers{"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}, 200},
		"another site":                 {"POST", headers{"Origin": "https://evil.example"}, 403},
		"another site, new browser":    {"POST", headers{"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"}, 403},
		"another site without Origin":  {"POST", headers{"Sec-Fetch-Site": "cross-site"}, 403},
		"a form that navigates":        {"POST", headers{"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}, 403},
		"another port":                 {"POST", headers{"Origin": "http://127.0.0.1:1"}, 403},
		"another port, same site":      {"GET", headers{"Sec-Fetch-Site": "same-site"}, 403},
		"a sandbox":                    {"POST", headers{"Origin": "null"}, 403},
		"another site of the same end": {"POST", headers{"Origin": "https://console.example.evil.example"}, 403},
		"another site reads":           {"GET", headers{"Origin": "https://evil.example"}, 403},
		"an image elsewhere":           {"GET", headers{"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image"}, 403},
		"a frame elsewhere":            {"GET", headers{"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "iframe"}, 403},
		"a name that leads here":       {"POST", headers{"Host": "evil.example", "Origin": "http://evil.example", "Sec-Fetch-Site": "same-origin"}, 421},
		"the same with our port":       {"GET", headers{"Host": "evil.example:8000"}, 421},
		"localhost":                    {"GET", headers{"Host": "LocalHost:8000"}, 200},
		"below localhost":              {"GET", headers{"Host": "reports.localhost"}, 200},
		"not localhost":                {"GET", headers{"Host": "localhost.evil.example"}, 421},
		"an address":                   {"GET", headers{"Host": "[::1]:8000"}, 200},
		"one without port":             {"GET", headers{"Host": "[::1]"}, 200},
		"own address":                  {"GET", headers{"Host": own}, 200},
	} {
		path, body := get, ""
		if c.method == "POST" {
			path, body = post, validReport
			c.headers["Content-Type"] = "application/json"
		}
		if code, text, h := ask(t, c.method, url+path, body, c.headers); code != c.code {
			t.Errorf("%s: %d %s, want %d", name, code, text, c.code)
		} else if allowed := h.Get("Access-Control-Allow-Origin"); (allowed != "") != (name == "a site that may") {
			t.Errorf("%s: lets %q read", name, allowed)
		}
	}
	if n := s.published.Load(); n != 5 {
		t.Errorf("%d published, want 5", n)
	}
	code, _, h := ask(t, "OPTIONS", url+post, "", headers{"Origin": "https://console.example", "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type"})
	if code != 204 || h.Get("Access-Control-Allow-Headers") != "Content-Type" || h.Get("Access-Control-Allow-Methods") != "GET, POST" {
		t.Errorf("asked before: %d %v", code, h)
	}
}

// Media types that a form of another site can send are refused, and so are the other
// codecs of Kratos.
func TestMediaTypes(t *testing.T) {
	t.Parallel()
	s := &stub{}
	url := serveHTTP(t, s)
	form := "report_type=event&app_id=a&app_key=k&event_name=e&content=%7B%7D"
	binary, err := proto.Marshal(&reportv1.PostReportRequest{ReportType: "event", AppId: "a", AppKey: "k", EventName: "e", Content: "{}"})
	if err != nil {
		t.Fatal(err)
	}
	for contentType, c := range map[string]struct {
		body string
		code int
	}{
		"application/json":                  {validReport, 200},
		"application/json; charset=utf-8":   {validReport, 200},
		"Application/JSON":                  {validReport, 200},
		"application/protobuf":              {string(binary), 200},
		"application/x-protobuf":            {string(binary), 200},
		"application/proto":                 {string(binary), 200},
		"application/x-www-form-urlencoded": {form, 415},
		"multipart/form-data; boundary=x":   {form, 415},
		"text/plain":                        {validReport, 415},
		"text/json":                         {validReport, 415},
		"application/xml":                   {"<x/>", 415},
		"application/yaml":                  {"report_type: event", 415},
		"application/x-yaml":                {"report_type: event", 415},
		"json":                              {validReport, 415},
		"":                                  {validReport, 415},
	} {
		code, text, _ := ask(t, "POST", url+"/v1/reports", c.body, map[string]string{"Content-Type": contentType})
		if code != c.code {
			t.Errorf("%q: %d %s, want %d", contentType, code, text, c.code)
		}
		if c.code == 415 && !strings.Contains(text, "want application/json or application/protobuf") {
			t.Errorf("%q: %s", contentType, text)
		}
	}
	if n := s.published.Load(); n != 6 {
		t.Errorf("%d published, want 6", n)
	}
	if code, _, _ := ask(t, "POST", url+"/v1/reports", validReport, map[string]string{"Content-Type": "application/json", "Content-Encoding": "gzip"}); code != 415 {
		t.Errorf("compressed: %d", code)
	}
	if code, text, _ := ask(t, "POST", url+"/v1/reports", validReport, map[string]string{"Content-Type": "application/json", "Content-Encoding": "identity"}); code != 200 {
		t.Errorf("not compressed, and says so: %d %s", code, text)
	}
	if code, text, _ := ask(t, "POST", url+"/v1/reports", "", nil); code != 400 || !strings.Contains(text, "VALIDATION_FAILED") {
		t.Errorf("no body, so of no type: %d %s", code, text)
	}
	for accept, want := range map[string]string{
		"": "application/json", "*/*": "application/json", "application/xml": "application/json", "application/yaml": "application/json",
		"application/protobuf": "application/protobuf",
	} {
		code, text, h := ask(t, "GET", url+"/v1/devices/d/state", "", map[string]string{"Accept": accept})
		if got := h.Get("Content-Type"); code != 200 || got != want || (text[0] == '{') != (want == "application/json") {
			t.Errorf("accepts %q: %d %s %q", accept, code, got, text)
		}
	}
}

// A server that listens beyond loopback accepts any name, unless names are configured.
func TestNames(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		ip    net.IP
		hosts []string
		want  bool
	}{
		"all addresses":           {net.IPv4zero, nil, true},
		"one address":             {net.IPv4(192, 0, 2, 1), nil, true},
		"all addresses and names": {net.IPv4zero, []string{"a.example"}, false},
		"loopback":                {net.IPv4(127, 0, 0, 1), nil, false},
		"loopback of IPv6":        {net.IPv6loopback, nil, false},
		"loopback and names":      {net.IPv6loopback, []string{"B.example"}, true},
	} {
		g := newGuard(&conf.Server_HTTP{Hosts: c.hosts}, &net.TCPAddr{IP: c.ip})
		if got := g.knows("b.Example:80"); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}
